"""Where the test data of others lies: the folder NETIO_CORPORA, or shared/corpora beside the project."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("NETIO_CORPORA") or Path(__file__).parents[3] / "shared" / "corpora")


def cases(name: str) -> list[Any]:
    """Return the cases of a file; one that is skipped, with the reason, if it is not there."""
    path = FOLDER / name
    if path.exists():
        found: list[Any] = json.loads(path.read_text("utf-8"))
        return found
    if "NETIO_CORPORA" in os.environ:
        raise pytest.UsageError(f"NETIO_CORPORA has no {name}")
    reason = f"{name} is not there: set NETIO_CORPORA to the folder of the corpora"
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
