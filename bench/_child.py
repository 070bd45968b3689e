"""The child's side of _children.py: `python _child.py MODULE LOOP CASE` runs `MODULE.in_child(case, control)`.

A child ends by `os._exit`: clients that bring threads of their own (pyreqwest) now and then abort while the interpreter
is taken down, after all is measured and said.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from typing import Any

import _machine
import anyio
from _peers import Absent

Word = dict[str, Any]


class Control:
    """The pipe to the parent. Reading blocks the loop on purpose: between two measurements nothing shall run."""

    def __init__(self) -> None:
        # Whatever prints to stdout must not get among the words.
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, **word: Any) -> None:
        self._out.write(json.dumps(word) + "\n")
        self._out.flush()

    def hear(self) -> Word | None:
        """Return the next word, None after the last one."""
        line = sys.stdin.readline()
        return None if not line else json.loads(line)


def main() -> None:
    module, loop, case = sys.argv[1:4]
    core = os.environ.get("NETIO_BENCH_CORE", "None")
    _machine.pin(None if core == "None" else int(core))
    _machine.raise_open_files()
    control = Control()
    try:
        _run(module, loop, json.loads(case), control)
    except Absent as error:
        control.say(absent=str(error))
    except Exception as error:
        control.say(error=_words(error))
    sys.stderr.flush()
    os._exit(0)


def _run(module: str, loop: str, case: Word, control: Control) -> None:
    if loop in ("trio", "uvloop") and importlib.util.find_spec(loop) is None:
        raise Absent(f"{loop} is not installed")
    function = importlib.import_module(module).in_child
    if loop == "none":
        function(case, control)
    elif loop == "trio":
        anyio.run(function, case, control, backend="trio")
    else:
        anyio.run(function, case, control, backend_options={"use_uvloop": loop == "uvloop"})


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]


if __name__ == "__main__":
    main()
