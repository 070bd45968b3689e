"""The netio command: `netio get` to look at one answer, `netio demo` to see the library work."""

from __future__ import annotations

from netio.cli._main import main

__all__ = ["main"]
