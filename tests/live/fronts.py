"""Servers that speak HTTP/2 over TLS in front of nginx: h2o, HAProxy, Apache httpd, Caddy.

Each hands every request on to nginx over HTTP/1.1, so that what nginx serves and stores is the proof of what came
through; the HTTP/2 is its own, with its own windows, frame sizes and limits.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

from tests.live.servers import HOST, Certificate, Server, free_ports

Command = Callable[[str, Path, int, int, Certificate], list[str]]
"""Writes the configuration into a folder; returns the command: binary, folder, own port, that of nginx, certificate."""


def h2o(binary: str, folder: Path, port: int, upstream: int, certificate: Certificate) -> list[str]:
    ssl = {"certificate-file": str(certificate.chain), "key-file": str(certificate.key)}
    configuration = {
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "pid-file": str(folder / "h2o.pid"),
        "error-log": str(folder / "error.log"),
        "num-threads": 1,
        "listen": {"host": HOST, "port": port, "ssl": ssl},
        "hosts": {"default": {"paths": {"/": {"proxy.reverse.url": f"http://{HOST}:{upstream}/"}}}},
    }
    path = folder / "h2o.conf"
    path.write_text(json.dumps(configuration, indent=1))  # which is YAML too
    return [binary, "-c", str(path)]


def haproxy(binary: str, folder: Path, port: int, upstream: int, certificate: Certificate) -> list[str]:
    joined = folder / "haproxy.pem"
    joined.write_bytes(certificate.chain.read_bytes() + certificate.key.read_bytes())
    path = folder / "haproxy.conf"
    path.write_text(
        f"""
global
    maxconn 1000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 120s
frontend tls
    bind {HOST}:{port} ssl crt {joined} alpn h2,http/1.1
    default_backend nginx
backend nginx
    server nginx {HOST}:{upstream}
"""
    )
    return [binary, "-db", "-f", str(path)]


def apache2(binary: str, folder: Path, port: int, upstream: int, certificate: Certificate) -> list[str]:
    modules = ["mpm_event", "authz_core", "ssl", "http2", "proxy", "proxy_http"]
    loaded = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules)
    path = folder / "apache2.conf"
    path.write_text(
        f"""
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/apache2.pid
ErrorLog {folder}/error.log
{loaded}
{"User www-data" if os.geteuid() == 0 else ""}
{"Group www-data" if os.geteuid() == 0 else ""}
Mutex pthread
StartServers 1
Listen {HOST}:{port}
Protocols h2 http/1.1
SSLEngine on
SSLSessionCache none
SSLCertificateFile {certificate.chain}
SSLCertificateKeyFile {certificate.key}
ProxyPass / http://{HOST}:{upstream}/
"""
    )
    return [binary, "-DFOREGROUND", "-f", str(path)]


def caddy(binary: str, folder: Path, port: int, upstream: int, certificate: Certificate) -> list[str]:
    path = folder / "Caddyfile"
    path.write_text(
        f"""
{{
    admin off
    auto_https off
    persist_config off
    storage file_system {folder}
}}
https://{HOST}:{port} {{
    bind {HOST}
    tls {certificate.chain} {certificate.key}
    reverse_proxy {HOST}:{upstream}
}}
"""
    )
    return [binary, "run", "--config", str(path), "--adapter", "caddyfile"]


FRONTS: dict[str, Command] = {"h2o": h2o, "haproxy": haproxy, "apache2": apache2, "caddy": caddy}


class Front(Server):
    """One of these servers; `port` speaks HTTP/2 over TLS."""

    def __init__(self, name: str, binary: str, folder: Path, *, upstream: int, certificate: Certificate) -> None:
        (self.port,) = free_ports(1)
        command = FRONTS[name](binary, folder, self.port, upstream, certificate)
        super().__init__(command, [self.port], folder / f"{name}.log")
