"""The machine: what it is, and which core who runs on.

Client and server share no core: else the scheduler decides who waits for whom, and a slow server looks like a slow
client. Pinning is inherited by threads and children, so a client written in Rust stays on its core as well.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import ssl
import sys
from typing import Literal

LIBRARIES = (
    "netio-http",
    "aiohttp",
    "anyio",
    "h11",
    "h2",
    "httpx",
    "httpx2",
    "niquests",
    "pyqwest",
    "pyreqwest",
    "trio",
    "uvloop",
)
OPEN_FILES = 16_384

Side = Literal["client", "server"]


def cores() -> list[int]:
    """Return the cores that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def core_of(side: Side) -> int | None:
    """Return the core of a side, None if there are not two of them."""
    available = cores()
    return available[0 if side == "client" else 1] if len(available) >= 2 else None


def pin(core: int | None) -> None:
    """Keep this process, and all that it starts from now on, on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def raise_open_files() -> None:
    """Allow as many sockets as the largest benchmark needs, if the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


AVAILABLE = len(cores())
"""Asked before anything is pinned."""


def facts() -> dict[str, object]:
    """Return what a figure depends on."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": AVAILABLE or os.cpu_count(),
        "pinned": AVAILABLE >= 2,
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": {name: version for name in LIBRARIES if (version := _version(name)) is not None},
    }


def warning() -> str | None:
    """Return what to say above the figures of a machine that cannot keep client and server apart."""
    if core_of("client") is not None:
        return None
    return "client and server are not pinned: that needs sched_setaffinity and two cores; do not compare these figures"


def status_of_memory(field: Literal["VmRSS", "VmHWM"]) -> int:
    """Return the resident memory of this process, now or at its highest, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"{sys.platform} does not say {field}")


def forget_highest_memory() -> None:
    """Let VmHWM start again from what is resident now (proc(5), clear_refs)."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as control:
        control.write("5")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        return platform.processor()
    return names[0] if names else platform.processor()
