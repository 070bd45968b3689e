"""Real servers on loopback: nginx with one worker, on the core that the clients do not use.

The port is free, all files are in a temporary folder, and the process is ended by its id, also on Ctrl-C and when a
benchmark fails; should the benchmark die without a word, the kernel ends it (setpriv, of util-linux).

How nginx is set up, and why: no log; `keepalive_requests` out of reach, or it closes connections in the middle of a
measurement; sendfile off for small files, since over clear-text HTTP/2 head and body then leave in two segments, and
Nagle's algorithm and delayed ACKs stall each other for 44 ms.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import _machine

HOST = "127.0.0.1"
SMALL = 200
START_SECONDS = 10.0
STOP_SECONDS = 10.0
PROTOCOLS = {"h1": "HTTP/1.1", "h1s": "HTTP/1.1 over TLS", "h2": "HTTP/2 over TLS", "h2c": "HTTP/2 in clear text"}


class ServerAbsent(Exception):
    """The server is not installed."""


@dataclass(frozen=True)
class Certificate:
    """Files: the chain and key of the server, and the authority that the clients trust."""

    chain: Path
    key: Path
    trusted: Path


def make_certificate(folder: Path, *names: str) -> Certificate:
    """Write a new certificate for the names into the folder."""
    import trustme

    made = Certificate(folder / "chain.pem", folder / "key.pem", folder / "trusted.pem")
    authority = trustme.CA()
    issued = authority.issue_cert(*(names or (HOST,)))
    authority.cert_pem.write_to_path(made.trusted)
    for position, link in enumerate(issued.cert_chain_pems):
        link.write_to_path(made.chain, append=position > 0)
    issued.private_key_pem.write_to_path(made.key)
    return made


@contextmanager
def folder() -> Iterator[Path]:
    """Give a temporary folder, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="netio-bench-") as name:
        yield Path(name)


def free_port(host: str = HOST) -> int:
    """Return a port on which nobody listens, outside of the range for outgoing connections."""
    for port in range(20_000 + os.getpid() % 9_000, 30_000):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port
    raise RuntimeError("there is no free port between 20000 and 30000")


_GIVEN: set[int] = set()


@dataclass(frozen=True)
class Site:
    """A server as the clients see it."""

    ports: dict[str, int]
    trusted: str

    def url(self, protocol: str, path: str = "/200") -> str:
        scheme = "https" if protocol in ("h1s", "h2") else "http"
        return f"{scheme}://{HOST}:{self.ports[protocol]}{path}"


@contextmanager
def nginx(*, files: dict[str, bytes | int] | None = None, origins: Sequence[str] = ()) -> Iterator[Site]:
    """Run nginx with a port for each of `PROTOCOLS`; `/200` is a file of 200 bytes, `files` are more of them.

    A number is a file of so many zeros.

    With `origins` it listens in clear text on these addresses too, on the port of h1.
    """
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise ServerAbsent("nginx is not installed: make servers")
    with folder() as place:
        certificate = make_certificate(place)
        root = place / "root"
        root.mkdir()
        for name, content in {str(SMALL): b"x" * SMALL, **(files or {})}.items():
            (root / name).write_bytes(b"" if isinstance(content, int) else content)
            if isinstance(content, int):
                os.truncate(root / name, content)
        ports = {protocol: free_port() for protocol in PROTOCOLS}
        configuration = place / "nginx.conf"
        configuration.write_text(_configuration(root, ports, certificate, origins))
        log = place / "error.log"
        with _running([binary, "-p", f"{place}/", "-c", str(configuration), "-e", str(log)], list(ports.values()), log):
            yield Site(ports, str(certificate.trusted))


@contextmanager
def _running(command: list[str], ports: Sequence[int], log: Path) -> Iterator[None]:
    tied = shutil.which("setpriv")
    prefix = [tied, "--pdeathsig", "TERM"] if tied else []
    core = _machine.core_of("server")
    taskset = shutil.which("taskset")
    if core is not None and taskset:
        prefix = [taskset, "-c", str(core), *prefix]
    _machine.raise_open_files()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_for(process, ports, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], ports: Sequence[int], log: Path) -> None:
    limit = time.monotonic() + START_SECONDS
    for port in ports:
        while True:
            try:
                socket.create_connection((HOST, port), timeout=START_SECONDS).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > limit:
                    raise RuntimeError(f"the server did not start:\n{log.read_text()[-2_000:]}") from None
                time.sleep(0.005)


def _configuration(root: Path, ports: dict[str, int], certificate: Certificate, origins: Sequence[str]) -> str:
    # Workers of a master that runs as root change to a user who may not read temporary folders.
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    temporary = "".join(f"    {kind}_temp_path tmp_{kind};\n" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    more = " ".join(f"listen {address}:{ports['h1']};" for address in origins)
    tls = f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};"
    return f"""
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {_machine.OPEN_FILES};
pid nginx.pid;
lock_file nginx.lock;
error_log error.log crit;
events {{ worker_connections {_machine.OPEN_FILES}; }}
http {{
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path tmp_body;
{temporary}
    ssl_protocols TLSv1.2 TLSv1.3;
    tcp_nodelay on;
    sendfile off;
    keepalive_timeout 3600s;
    keepalive_time 24h;
    keepalive_requests 1000000000;
    http2_max_concurrent_streams 128;
    open_file_cache max=100 inactive=1h;
    open_file_cache_valid 1h;
    root {root};
    server {{ listen {HOST}:{ports["h1"]} backlog=4096; {more} location = /large {{ sendfile on; }} }}
    server {{ listen {HOST}:{ports["h1s"]} ssl backlog=4096; {tls} }}
    server {{ listen {HOST}:{ports["h2"]} ssl http2; {tls} }}
    server {{ listen {HOST}:{ports["h2c"]} http2; }}
}}
"""
