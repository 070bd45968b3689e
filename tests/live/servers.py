"""Real servers as child processes: nginx and nghttpd, on free ports, with everything they write in one folder.

Each leads a process group of its own: it is ended together with its workers, by its own id, and nobody else is. Should
the tests die without a word, the kernel ends it for them (setpriv, of util-linux).
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 10.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"

# Below the range out of which the kernel takes ports for outgoing connections: nobody gets the port of a server by
# chance while it is down between two starts.
_PORTS = range(20_000, 30_000)


def find_binary(name: str) -> str | None:
    """Return the path of a server.

    Debian keeps nginx where only the administrator's PATH looks; those from PyPI lie beside the interpreter.
    """
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"there are no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


class Server:
    """One server process, which may be started and stopped several times."""

    def __init__(self, command: Sequence[str], ports: Sequence[int], log: Path) -> None:
        self.ports = tuple(ports)
        self.log = log
        self._command = [*_tied_to_us(), *command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it accepts connections on all of its ports."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        limit = time.monotonic() + START_SECONDS
        for port in self.ports:
            while not _is_accepted(port):
                if self._process.poll() is not None or time.monotonic() > limit:
                    self.stop()
                    raise RuntimeError(f"{self._command} did not start; its log:\n{self.log.read_text()[-4_000:]}")
                time.sleep(0.005)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end and wait for that; after a while kill it and what is left of its group. Does nothing twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.stop(how)
        self.start()


def _tied_to_us() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _is_accepted(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=START_SECONDS):
            return True
    except OSError:
        return False


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain, and its key, as files."""

    chain: Path
    key: Path


class Nginx(Server):
    """nginx with one port for each way of talking to it, and one more with a certificate for another name.

    `/200` is a file of the document root, `/put/name` stores what it is sent in `uploads`, and `/answer` answers to any
    method. The process that is started is the master; its one worker does the talking.
    """

    def __init__(
        self, binary: str, folder: Path, *, root: Path, certificate: Certificate, stranger: Certificate
    ) -> None:
        ports = free_ports(5)
        self.http1, self.http1_tls, self.http2_tls, self.http2_clear, self.misnamed = ports
        self.uploads = folder / "uploads"
        self.uploads.mkdir()
        self.requests = folder / "requests.log"
        listeners = [
            _listener(f"{self.http1}"),
            _listener(f"{self.http1_tls} ssl", certificate),
            _listener(f"{self.http2_tls} ssl http2", certificate),
            # With sendfile and one stream in clear text, Nagle's algorithm and delayed ACKs stall each other.
            _listener(f"{self.http2_clear} http2", sendfile=False),
            _listener(f"{self.misnamed} ssl http2", stranger),
        ]
        configuration = folder / "nginx.conf"
        configuration.write_text(_configuration(root, self.uploads, listeners))
        log = folder / "error.log"
        super().__init__([binary, "-p", f"{folder}/", "-c", str(configuration), "-e", str(log)], ports, log)

    @property
    def worker(self) -> int:
        """The id of the worker process."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        (worker,) = children
        return int(worker)

    def requests_served(self) -> list[str]:
        """Return method, path and status of each request so far; complete only once nginx was stopped."""
        return self.requests.read_text().splitlines()


def _listener(listen: str, certificate: Certificate | None = None, *, sendfile: bool = True) -> str:
    lines = [f"listen {HOST}:{listen};", f"sendfile {'on' if sendfile else 'off'};"]
    if certificate is not None:
        lines += [f"ssl_certificate {certificate.chain};", f"ssl_certificate_key {certificate.key};"]
    return "server { " + " ".join(lines) + " include places.conf; }"


def _configuration(root: Path, uploads: Path, listeners: Sequence[str]) -> str:
    places = uploads.parent / "places.conf"
    places.write_text(
        f"root {root};\n"
        f"location /put/ {{ alias {uploads}/; dav_methods PUT; }}\n"
        'location = /answer { return 200 "answer to $request_method\\n"; }\n'
    )
    # Workers of a master that runs as root change to a user who may not read pytest's temporary folders.
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    temporary = "".join(f"    {kind}_temp_path tmp_{kind};\n" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
lock_file nginx.lock;
error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
    default_type application/octet-stream;
    log_format short "$request_method $uri $status";
    access_log requests.log short;
    client_body_temp_path tmp_body;
{temporary}
    client_max_body_size 0;
    lingering_timeout 100ms; # so long it may wait, when it ends, for clients that do not hang up
    keepalive_timeout 600s;
    keepalive_requests 1000000;
    http2_max_concurrent_streams 128;
    {" ".join(listeners)}
}}
"""


class Nghttpd(Server):
    """nghttp2's server: HTTP/2 only, over TLS or in clear text. It sends back what is POSTed to it."""

    def __init__(self, binary: str, folder: Path, *, root: Path, certificate: Certificate | None) -> None:
        (port,) = free_ports(1)
        secured = ["--no-tls", str(port)]
        if certificate is not None:
            secured = [str(port), str(certificate.key), str(certificate.chain)]
        options = ["--address", HOST, "--htdocs", str(root), "--echo-upload", "--max-concurrent-streams", "100"]
        super().__init__([binary, *options, *secured], [port], folder / f"nghttpd-{port}.log")
        self.port = port
