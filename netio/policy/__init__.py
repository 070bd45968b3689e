"""What may happen around a request. A policy is any `async (request, send) -> response`."""

from netio.policy._compose import compose
from netio.policy._retry import RETRIED_STATUSES, Retry

__all__ = ["RETRIED_STATUSES", "Retry", "compose"]
