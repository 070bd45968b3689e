"""Which connection a request goes to: the ledger decides, the pool does."""

from netio.pool._books import PoolStats, Ticket
from netio.pool._ledger import Ledger
from netio.pool._limits import Limits
from netio.pool._pool import WRONG_LOOP, Pool
from netio.pool._traffic import Books, Traffic
from netio.pool._versions import Http2Wish

__all__ = ["WRONG_LOOP", "Books", "Http2Wish", "Ledger", "Limits", "Pool", "PoolStats", "Ticket", "Traffic"]
