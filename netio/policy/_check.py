"""What constructors refuse. Each function returns the value that it has checked; a message begins with its name."""

from __future__ import annotations

from netio.deadline import NEVER


def whole(name: str, value: int, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return value


def positive(name: str, value: float, unit: str = "seconds") -> float:
    if not _is_number(value) or not 0 < value < NEVER:
        raise ValueError(f"{name} must be {unit}, above 0, not {value!r}")
    return float(value)


def not_negative(name: str, value: float, unit: str = "seconds") -> float:
    if not _is_number(value) or not 0 <= value < NEVER:
        raise ValueError(f"{name} must be {unit}, 0 or more, not {value!r}")
    return float(value)


def share(name: str, value: float) -> float:
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a share, above 0 and at most 1, not {value!r}")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
