"""The real servers, started once, and a place for the figures that the tests come by.

A server that is not installed skips the tests that need it; with NETIO_REQUIRE_LIVE=1 it fails them (`make servers`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.live.bodies import write_bodies
from tests.live.servers import HOST, Certificate, Nghttpd, Nginx, find_binary
from tests.live.sites import DIALECTS, Dialect, Site, nghttpd_site, nginx_site

_FIGURES = pytest.StashKey[list[str]]()

# For a test that uses `dialect`, directly or through `site`: over one version alone.
HTTP1_ONLY = pytest.mark.parametrize("dialect", ["http1", "http1_tls"], indirect=True)
HTTP2_ONLY = pytest.mark.parametrize("dialect", ["http2_tls", "http2_clear"], indirect=True)


@dataclass(frozen=True)
class Certificates:
    """`trusted` is the authority that issued the others; `unrelated` is an authority that issued nothing."""

    trusted: str
    unrelated: str
    fitting: Certificate
    misnamed: Certificate


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, unrelated = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "trusted.pem")
    unrelated.cert_pem.write_to_path(folder / "unrelated.pem")
    return Certificates(
        str(folder / "trusted.pem"),
        str(folder / "unrelated.pem"),
        _issue(authority, folder, HOST),
        _issue(authority, folder, "elsewhere.test"),
    )


def _issue(authority: trustme.CA, folder: Path, name: str) -> Certificate:
    issued = authority.issue_cert(name)
    files = Certificate(folder / f"{name}.chain.pem", folder / f"{name}.key.pem")
    for position, link in enumerate(issued.cert_chain_pems):
        link.write_to_path(files.chain, append=position > 0)
    issued.private_key_pem.write_to_path(files.key)
    return files


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that all servers serve: one file for each size in `bodies.SIZES`."""
    folder = tmp_path_factory.mktemp("root")
    write_bodies(folder)
    yield folder
    shutil.rmtree(folder)  # pytest would keep the 100 MiB of the last three runs


def required(name: str) -> str:
    binary = find_binary(name)
    if binary is not None:
        return binary
    if os.environ.get("NETIO_REQUIRE_LIVE") == "1":
        pytest.fail(f"{name} is not installed, and NETIO_REQUIRE_LIVE=1 asks for it: make servers", pytrace=False)
    pytest.skip(f"{name} is not installed: make servers")


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, root: Path, certificates: Certificates) -> Iterator[Nginx]:
    yield from _running_nginx(tmp_path_factory, root, certificates)


@pytest.fixture
def own_nginx(tmp_path_factory: pytest.TempPathFactory, root: Path, certificates: Certificates) -> Iterator[Nginx]:
    """An nginx that a test may stop and start."""
    yield from _running_nginx(tmp_path_factory, root, certificates)


def _running_nginx(factory: pytest.TempPathFactory, root: Path, certificates: Certificates) -> Iterator[Nginx]:
    server = Nginx(
        required("nginx"),
        factory.mktemp("nginx"),
        root=root,
        certificate=certificates.fitting,
        stranger=certificates.misnamed,
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=list(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


@pytest.fixture
def site(nginx: Nginx, dialect: Dialect, certificates: Certificates) -> Site:
    """nginx over each of the four dialects."""
    return nginx_site(nginx, dialect, certificates.trusted)


@pytest.fixture
def own_site(own_nginx: Nginx, dialect: Dialect, certificates: Certificates) -> Site:
    """The same for an nginx that the test may stop and start."""
    return nginx_site(own_nginx, dialect, certificates.trusted)


@pytest.fixture(scope="session", params=["tls", "clear"])
def nghttpd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, root: Path, certificates: Certificates
) -> Iterator[Site]:
    """nghttpd, over TLS and in clear text."""
    is_tls = request.param == "tls"
    server = Nghttpd(
        required("nghttpd"),
        tmp_path_factory.mktemp("nghttpd"),
        root=root,
        certificate=certificates.fitting if is_tls else None,
    )
    server.start()
    yield nghttpd_site(server, is_tls=is_tls, trusted=certificates.trusted)
    server.stop()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Give a function that puts a line into the summary of the run."""
    loop = request.node.callspec.id.split("-")[0]
    figures = request.config.stash.setdefault(_FIGURES, [])
    return lambda line: figures.append(f"{loop:<8} {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("figures of the live tests")
        for figure in figures:
            terminalreporter.write_line(figure)
