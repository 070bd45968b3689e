"""What pyproject.toml asks for: the security floors, nothing that is not used, nothing used that is not asked for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.layers import read_imports

PROJECT = Path(__file__).parent.parent

SECURITY_FLOORS = {
    "anyio": "4.14.2",  # CVE-2026-63374, host name matching
    "h11": "0.16",  # CVE-2025-43859, chunk framing
    "h2": "4.4.1",  # CVE-2025-57804, request splitting
    "hpack": "4.2",  # CVE-2026-59980, runaway integers
    "idna": "3.15",  # CVE-2026-45409, slow host names
}

# What is imported under another name than it is installed by.
DISTRIBUTIONS = {
    "opentelemetry": "opentelemetry-api",
    "prometheus_client": "prometheus-client",
    "python_socks": "python-socks",
}

# Required though netio does not import them, each with its reason.
USED_THROUGH_OTHERS = {
    "uvloop": "anyio.run makes the loop: backend_options={'use_uvloop': True}",
    # Looked for by name, as there are several for the same thing: netio/policy/_codings.py.
    "backports.zstd": "the coding zstd",
    "brotli": "the coding br",
    "brotlicffi": "the coding br",
    "isal": "gzip and deflate, faster",
}


def read_project() -> dict[str, Any]:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def required() -> dict[str, Requirement]:
    return {one.name: one for one in map(Requirement, read_project()["dependencies"])}


def optional() -> dict[str, Requirement]:
    extras = read_project()["optional-dependencies"].values()
    return {one.name: one for extra in extras for one in map(Requirement, extra)}


def optional_modules() -> set[str]:
    modules = {distribution: module for module, distribution in DISTRIBUTIONS.items()}
    return {modules.get(name, name) for name in optional()}


def imported() -> set[str]:
    """Return the distributions of what netio imports, under TYPE_CHECKING and in functions too."""
    paths = (PROJECT / "netio").rglob("*.py")
    rows = [row for path in paths for row in read_imports(path.relative_to(PROJECT).as_posix(), path.read_text())]
    packages = {row.module.split(".")[0] for row in rows}
    return {DISTRIBUTIONS.get(name, name) for name in packages - {"netio"} - set(sys.stdlib_module_names)}


def floor(requirement: Requirement) -> Version:
    (bound,) = [one.version for one in requirement.specifier if one.operator == ">="]
    return Version(bound)


@pytest.mark.parametrize(("name", "lowest"), SECURITY_FLOORS.items())
def test_security_floor_is_kept(name: str, lowest: str) -> None:
    assert floor(required()[name]) >= Version(lowest)


def test_every_dependency_has_a_floor() -> None:
    unbound = [name for name, one in (required() | optional()).items() if ">=" not in str(one.specifier)]
    assert unbound == []


def test_every_dependency_is_imported_or_has_a_reason() -> None:
    assert (required() | optional()).keys() - imported() == USED_THROUGH_OTHERS.keys()


def test_every_import_is_a_dependency() -> None:
    assert imported() - (required() | optional()).keys() == set()


def test_netio_imports_where_no_extra_is_installed() -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in optional_modules())
    run_python(f"import sys\n{blocked}import netio\n")


def test_import_netio_loads_no_extra_and_no_command() -> None:
    unwanted = {*optional_modules(), "netio.cli", "netio.testing", "netio.adapters"}
    loaded = run_python(f"import sys, netio\nprint(*sorted({unwanted!r} & sys.modules.keys()))\n")
    assert loaded.split() == []


def test_the_version_of_python_is_the_same_everywhere() -> None:
    project = read_project()
    (lowest,) = re.findall(r">=(3\.\d+)", project["requires-python"])
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]
    assert tools["mypy"]["python_version"] == tools["pyright"]["pythonVersion"] == lowest
    assert tools["ruff"]["target-version"] == "py" + lowest.replace(".", "")


def run_python(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
