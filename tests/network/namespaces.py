"""Two hosts with a cable between them, in network namespaces: what loopback cannot do.

    with two_hosts() as hosts:
        with hosts.inside(hosts.there): ...   # sockets that are made here belong to the other host

A socket belongs to the namespace that its thread was in when it was made. So a test's event loop, its servers on the
other host and its client run in one process, in one thread. The namespaces end with the test.

`there` has the addresses `THERE` and `THERE_6`. What is sent to 10.79.0.0/16 and fd79::/64 arrives at it too, and is
swallowed: a black hole. To 10.78.0.0/16 it is refused with an ICMP message.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

CLONE_NEWNET = 0x4000_0000
HERE, THERE = "10.77.0.1", "10.77.0.2"
HERE_6, THERE_6 = "fd77::1", "fd77::2"
_SWALLOWED = ("10.79.0.0/16", "fd79::/64")
_numbers = count()


def why_not() -> str:
    """Return why there can be no namespaces here; empty if there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    name = f"netio-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode == 0:
        _ip("netns", "delete", name)
        return ""
    return f"no network namespace can be made here: {made.stderr.decode().strip()}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Hosts:
    """The names of the two namespaces."""

    def __init__(self, here: str, there: str) -> None:
        self.here = here
        self.there = there

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Let this thread be on one of the hosts."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(f"/run/netns/{name}")
            try:
                yield
            finally:
                _set_namespace(before)
        finally:
            os.close(before)


def _enter(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _set_namespace(descriptor)
    finally:
        os.close(descriptor)


def _set_namespace(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Make two hosts and a cable; skip the test where that cannot be."""
    if reason := why_not():
        pytest.skip(reason)
    number = f"{os.getpid()}-{next(_numbers)}"
    hosts = Hosts(f"netio-here-{number}", f"netio-there-{number}")
    try:
        for name in (hosts.here, hosts.there):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", hosts.here, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", hosts.there)
        for name, ipv4, ipv6 in ((hosts.here, HERE, HERE_6), (hosts.there, THERE, THERE_6)):
            _ip("-n", name, "address", "add", f"{ipv4}/24", "dev", "cable")
            _ip("-n", name, "address", "add", f"{ipv6}/64", "dev", "cable", "nodad")
            _ip("-n", name, "link", "set", "cable", "up")
        for network, way in (("10.78.0.0/16", THERE), ("10.79.0.0/16", THERE), ("fd79::/64", THERE_6)):
            _ip("-n", hosts.here, "route", "add", network, "via", way)
        for kind, network in (
            ("unreachable", "10.78.0.0/16"),
            ("blackhole", "10.79.0.0/16"),
            ("blackhole", "fd79::/64"),
        ):
            _ip("-n", hosts.there, "route", "add", kind, network)
        with hosts.inside(hosts.there):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
        yield hosts
    finally:
        for name in (hosts.here, hosts.there):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def pull_the_cable(hosts: Hosts) -> None:
    """From here on nothing arrives, and neither side is told."""
    _ip("-n", hosts.there, "link", "set", "cable", "down")
