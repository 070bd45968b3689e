"""The folders of netio import one way only; and the checker that says so catches who does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import FOLDERS, read_imports, violations

PROJECT = Path(__file__).parent.parent


def read_package() -> dict[str, str]:
    paths = sorted((PROJECT / "netio").rglob("*.py"))
    return {path.relative_to(PROJECT).as_posix(): path.read_text() for path in paths}


def test_netio_keeps_its_layers() -> None:
    found = violations(read_package())
    assert found == [], "\n".join(found)


def test_the_whole_package_is_read() -> None:
    sources = read_package()
    imports = [row for path, source in sources.items() for row in read_imports(path, source)]
    assert {"netio/errors.py", "netio/message.py", "netio/wire/__init__.py"} <= sources.keys()
    assert ("netio/errors.py", "netio.message", "Request", True) in {
        (row.path, row.module, row.name, row.is_typing_only) for row in imports
    }


def test_the_folders_stand_in_the_order_of_a_request() -> None:
    assert list(FOLDERS) == sorted(FOLDERS)


ALLOWED = [
    ("netio/pool/_pool.py", "from netio.protocol import Http1Connection\nfrom netio.wire import Http1Engine"),
    ("netio/pool/_pool.py", "from netio.pool._ledger import Ledger"),
    ("netio/pool/_pool.py", "from ._ledger import Ledger"),
    ("netio/pool/_pool.py", "from netio.errors import PoolTimeout\nfrom netio import deadline"),
    ("netio/pool/_pool.py", "import netio.wire"),
    ("netio/wire/__init__.py", "from netio.wire._contract import _shared"),
    ("netio/errors.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from netio.message import Request"),
    ("netio/errors.py", "import typing\nif typing.TYPE_CHECKING:\n    from netio.message import Request"),
    ("netio/deadline.py", "import time\nimport anyio"),
    ("netio/message.py", "from netio.headers import _shared"),
    ("netio/transport/_runtime.py", "import asyncio\nimport trio.lowlevel"),
    ("netio/transport/_runtime_trio.py", "import trio"),
    ("netio/testing/_network.py", "import trio"),
    ("netio/cli/_demo.py", "import rich.table\nfrom hypercorn.config import Config\nimport trustme"),
    ("netio/cli/_demo.py", "from netio.client import Session"),
    ("netio/__init__.py", "from netio.client import Session\nfrom netio import policy as policy"),
    ("netio/__main__.py", "from netio.cli import main"),
    ("netio/wire/_own.py", "import re\nimport h11\nfrom netio.headers import Field"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_good_import_passes(path: str, source: str) -> None:
    assert violations({path: source}) == []


PRIVATE = "private to its folder"
LATER = "only folders after it in the alphabet"
BROKEN = [
    ("netio/wire/_own.py", "from netio.protocol import Http1Connection", f"wire may import {LATER}, not protocol"),
    ("netio/pool/_pool.py", "import netio.client", f"pool may import {LATER}, not client"),
    ("netio/pool/_pool.py", "from netio import client", f"pool may import {LATER}, not client"),
    ("netio/pool/_pool.py", "from ..client import Session", f"pool may import {LATER}, not client"),
    ("netio/pool/_pool.py", "from .. import client", f"pool may import {LATER}, not client"),
    ("netio/pool/__init__.py", "from ..client import Session", f"pool may import {LATER}, not client"),
    ("netio/pool/_pool.py", "def f():\n    from netio.client import Session", f"pool may import {LATER}, not client"),
    (
        "netio/pool/_pool.py",
        "if TYPE_CHECKING:\n    from netio.client import Session",
        f"pool may import {LATER}, not client",
    ),
    (
        "netio/pool/_pool.py",
        "if x:\n    pass\nelif TYPE_CHECKING:\n    pass\nelse:\n    import netio.client",
        f"pool may import {LATER}, not client",
    ),
    ("netio/pool/_pool.py", 'importlib.import_module("netio.client")', f"pool may import {LATER}, not client"),
    ("netio/policy/_retry.py", "from netio.pool import Pool", "policy and pool may not know each other"),
    ("netio/pool/_pool.py", "from netio.policy import Retry", "policy and pool may not know each other"),
    ("netio/pool/_pool.py", "from netio.wire._contract import Stream", f"netio.wire._contract is {PRIVATE}"),
    ("netio/pool/_pool.py", "import netio.wire._contract", f"netio.wire._contract is {PRIVATE}"),
    ("netio/pool/_pool.py", "from netio.wire import _contract", f"netio.wire._contract is {PRIVATE}"),
    ("netio/pool/_pool.py", "from netio.wire.contract import Stream", f"netio.wire.contract is {PRIVATE}"),
    ("netio/pool/_pool.py", "from netio.url import _parse", f"netio.url._parse is {PRIVATE}"),
    ("netio/__init__.py", "from netio.client._session import Session", f"netio.client._session is {PRIVATE}"),
    ("netio/pool/_pool.py", "import netio", "imports the root of netio"),
    (
        "netio/pool/_pool.py",
        "from netio import Session",
        "netio.Session is neither a folder of the design nor vocabulary",
    ),
    ("netio/pool/_pool.py", "import netio.tools", "netio.tools is neither a folder of the design nor vocabulary"),
    ("netio/url.py", "from netio.wire import Stream", "vocabulary may import vocabulary only, not wire"),
    ("netio/errors.py", "if TYPE_CHECKING:\n    import netio.pool", "vocabulary may import vocabulary only, not pool"),
    ("netio/__init__.py", "from netio.cli import main", "the root may not import cli"),
    ("netio/__init__.py", "from netio import testing", "the root may not import testing"),
    ("netio/__main__.py", "from netio.client import Session", "netio/__main__.py may import cli only"),
    ("netio/wire/_own.py", "import anyio.abc", "so it may not import anyio"),
    ("netio/wire/_own.py", "from time import monotonic", "so it may not import time"),
    ("netio/wire/_own.py", "def f():\n    import ssl", "so it may not import ssl"),
    ("netio/pool/_ledger.py", "import anyio", "so it may not import anyio"),
    ("netio/pool/_pool.py", "import asyncio", "may import asyncio"),
    ("netio/transport/_dial.py", "from trio.lowlevel import current_task", "may import trio"),
    ("netio/client/_session.py", "import rich", "only netio/cli/ may import rich"),
    ("netio/testing/_origin.py", "import hypercorn.trio", "only netio/cli/ may import hypercorn"),
    ("netio/testing/_origin.py", "import trustme", "only netio/cli/ may import trustme"),
    ("netio/tools.py", "", "the design does not name this one"),
    ("netio/tools/__init__.py", "", "the design has no folder tools"),
]


@pytest.mark.parametrize(("path", "source", "rule"), BROKEN)
def test_bad_import_is_caught(path: str, source: str, rule: str) -> None:
    found = violations({path: source})
    assert len(found) == 1
    line = source.count("\n") + 1
    assert found[0].startswith(f"{path}:{line}: ")
    assert rule in found[0]


def test_wire_that_imports_asyncio_breaks_two_rules() -> None:
    assert len(violations({"netio/wire/_own.py": "import asyncio"})) == 2


def test_a_circle_in_the_vocabulary_is_caught() -> None:
    sources = {
        "netio/url.py": "from netio.headers import Headers",
        "netio/headers.py": "def f():\n    from netio import body",
        "netio/body.py": "from netio.url import URL",
    }
    assert violations(sources) == [
        "netio/body.py:1: closes a circle of imports in the vocabulary, url -> headers -> body -> url"
    ]


def test_errors_may_name_the_types_of_message_but_not_import_it() -> None:
    message = "from netio.errors import NetioError"
    typing_only = "if TYPE_CHECKING:\n    from netio.message import Request"
    assert violations({"netio/errors.py": typing_only, "netio/message.py": message}) == []
    assert violations({"netio/errors.py": "import netio.message", "netio/message.py": message}) == [
        "netio/message.py:1: closes a circle of imports in the vocabulary, errors -> message -> errors"
    ]
