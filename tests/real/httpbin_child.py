"""The process of httpbin behind hypercorn: `python -m tests.real.httpbin_child`, started by `httpbin_origin.py`.

It says where it listens in one line of JSON, with httpbin's URL map. For each line on its stdin it says which endpoints
were asked for since the last one. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import anyio
import httpbin  # type: ignore[import-untyped]
from flask import request
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.middleware import AsyncioWSGIMiddleware

from netio.cli import _origin_child as origin

Environment = dict[str, Any]

MAX_BODY = 8_388_608
THREADS = 400
_asked: set[str] = set()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="netio-httpbin-") as folder:
        threading.Thread(target=_answer_the_parent, args=(folder,), daemon=True).start()
        httpbin.app.before_request(_note)
        httpbin.app.after_request(_quote)
        authority_file = os.path.join(folder, "authority.pem")
        context = origin._tls_context(authority_file)
        plain, secure = origin._listening_socket(), origin._listening_socket()
        _say(
            http=f"http://127.0.0.1:{plain.getsockname()[1]}",
            https=f"https://localhost:{secure.getsockname()[1]}",
            authority_file=authority_file,
            endpoints=_endpoints(),
        )
        anyio.run(_serve, origin._config(plain, secure, context), backend="asyncio")


def _endpoints() -> list[str]:
    """Return method and rule of each, without the methods that Flask adds by itself."""
    return [
        f"{method} {rule.rule}"
        for rule in httpbin.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def _note() -> None:
    if request.url_rule is not None:
        _asked.add(f"{request.method} {request.url_rule.rule}")


def _answer_the_parent(folder: str) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        asked = sorted(_asked)
        _asked.difference_update(asked)
        _say(asked=asked)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _say(**word: Any) -> None:
    print(json.dumps(word), flush=True)


def _between(environment: Environment, start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Let hypercorn's WSGI and httpbin understand each other.

    A body of unknown length may be read to its end, since hypercorn has all of it by now; httpbin believes that only of
    gunicorn. An answer without a piece hypercorn takes for none at all. And stdout is for the parent.
    """
    environment["wsgi.input_terminated"] = True
    environment["SERVER_SOFTWARE"] = "gunicorn/hypercorn"
    environment["wsgi.errors"] = sys.stderr
    answer = cast("Iterable[bytes]", httpbin.app(environment, start_response))
    yield from answer
    yield b""
    cast("Any", answer).close()


def _quote(response: Any) -> Any:
    """Make httpbin's ETags such as RFC 9110 section 8.8.3 has them, for a test that asks for it."""
    if "quoted" in request.args:
        response.headers["ETag"] = f'"{response.headers["ETag"]}"'
    return response


async def _serve(config: Config) -> None:
    # hypercorn lets the thread of an answer wait for ever once its connection is gone, and a loop has six of them.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    application = AsyncioWSGIMiddleware(_between, max_body_size=MAX_BODY)
    await serve(cast("Any", application), config, shutdown_trigger=anyio.sleep_forever)


if __name__ == "__main__":
    main()
