"""Real proxies: squid (http and https), tinyproxy (http), Dante and microsocks (SOCKS5), with a password or without.

Squid refuses to run as root, and the user that it changes to may not read pytest's folders: so it has one of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live.conftest import Certificates, required
from tests.live.servers import HOST, Server, free_ports

CREDENTIALS = ("gatekeeper", "t0-the-proxy")
_SQUID_USER = "proxy"  # Debian's


@dataclass(frozen=True)
class RealProxy:
    """A running proxy. `accepts` are the credentials that it wants, None if it lets in everybody."""

    name: str
    urls: tuple[str, ...]
    accepts: tuple[str, str] | None
    server: Server
    log: Path | None = None

    def requests_heard(self) -> list[tuple[str, ...]]:
        """End squid; return method, Authorization and Proxy-Authorization of all requests that it has heard."""
        assert self.log is not None
        self.server.stop()  # it writes down a tunnel when that ends
        lines = [tuple(line.split("|")) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line[0] != "-"]  # who has looked whether it listens


@contextmanager
def running_squid(certificates: Certificates) -> Iterator[RealProxy]:
    binary, is_root = required("squid"), os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="netio-squid-"))
    plain, secure = free_ports(2)
    certificate, log = folder / "certificate.pem", folder / "requests.log"
    certificate.write_bytes(certificates.fitting.chain.read_bytes() + certificates.fitting.key.read_bytes())
    helper = folder / "helper.sh"
    welcome = " ".join(CREDENTIALS)
    helper.write_text(f'while read name word rest; do [ "$name $word" = "{welcome}" ] && echo OK || echo ERR; done\n')
    configuration = folder / "squid.conf"
    configuration.write_text(
        f"""
http_port {HOST}:{plain}
https_port {HOST}:{secure} tls-cert={certificate}
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
logformat heard %rm|%{{Authorization}}>h|%{{Proxy-Authorization}}>h
access_log stdio:{log} logformat=heard
buffered_logs off
coredump_dir {folder}
visible_hostname proxy.test
{f"cache_effective_user {_SQUID_USER}" if is_root else ""}
shutdown_lifetime 0 seconds
memory_cache_shared off
sslproxy_session_cache_size 0
pinger_enable off
cache deny all
auth_param basic program /bin/sh {helper}
auth_param basic children 1 startup=1
auth_param basic realm proxy
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""
    )
    if is_root:
        owner = pwd.getpwnam(_SQUID_USER)
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    # The name is that of its shared memory, which two of them would quarrel about.
    command = [binary, "-n", f"netio{os.getpid()}", "-N", "-f", str(configuration)]
    server = Server(command, [plain, secure], folder / "squid.log")
    try:
        server.start()
        yield RealProxy("squid", (f"http://{HOST}:{plain}", f"https://{HOST}:{secure}"), CREDENTIALS, server, log)
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def running_tinyproxy(folder: Path) -> Iterator[RealProxy]:
    (port,) = free_ports(1)
    configuration = folder / "tinyproxy.conf"
    configuration.write_text(
        f"""
Port {port}
Listen {HOST}
Timeout 60
MaxClients 50
PidFile "{folder}/tinyproxy.pid"
BasicAuth {" ".join(CREDENTIALS)}
"""
    )
    server = Server([required("tinyproxy"), "-d", "-c", str(configuration)], [port], folder / "tinyproxy.log")
    try:
        server.start()
        yield RealProxy("tinyproxy", (f"http://{HOST}:{port}",), CREDENTIALS, server)
    finally:
        server.stop()


@contextmanager
def running_microsocks(folder: Path) -> Iterator[RealProxy]:
    (port,) = free_ports(1)
    user, password = CREDENTIALS
    command = [required("microsocks"), "-i", HOST, "-p", str(port), "-u", user, "-P", password]
    server = Server(command, [port], folder / "microsocks.log")
    try:
        server.start()
        yield RealProxy("microsocks", (f"socks5://{HOST}:{port}", f"socks5h://{HOST}:{port}"), CREDENTIALS, server)
    finally:
        server.stop()


@contextmanager
def running_dante(folder: Path) -> Iterator[RealProxy]:
    (port,) = free_ports(1)
    configuration = folder / "danted.conf"
    configuration.write_text(
        f"""
logoutput: {folder}/requests.log
internal: {HOST} port = {port}
external: {HOST}
clientmethod: none
socksmethod: none
user.privileged: {pwd.getpwuid(os.geteuid()).pw_name}
user.unprivileged: {pwd.getpwuid(os.geteuid()).pw_name}
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 protocol: tcp }}
"""
    )
    pid = str(folder / "danted.pid")
    command = [required("danted"), "-N", "1", "-p", pid, "-f", str(configuration)]
    server = Server(command, [port], folder / "danted.log")
    try:
        server.start()
        yield RealProxy("dante", (f"socks5://{HOST}:{port}", f"socks5h://{HOST}:{port}"), None, server)
    finally:
        server.stop()
