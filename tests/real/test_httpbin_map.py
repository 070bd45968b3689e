"""Nothing of httpbin is left out: its own URL map against what the tests here exercise."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.real.httpbin_origin import EXERCISED, Httpbin

NOT_FOR_CLIENTS = {
    "GET /": "a page for people who look at httpbin with a browser, with links to what is below",
    "GET /static/<path:filename>": "the icons and styles of that page",
}


def exercised() -> set[str]:
    for path in Path(__file__).parent.glob("test_httpbin_*.py"):
        import_module(f"{__package__}.{path.stem}")
    return set(EXERCISED)


def test_every_endpoint_is_exercised_or_has_a_reason_not_to_be(httpbin_process: Httpbin) -> None:
    assert sorted(httpbin_process.endpoints - exercised() - NOT_FOR_CLIENTS.keys()) == []


def test_no_reason_is_given_for_what_is_exercised_or_is_not_there(httpbin_process: Httpbin) -> None:
    assert NOT_FOR_CLIENTS.keys() <= httpbin_process.endpoints - exercised()


def test_what_is_exercised_is_in_the_map(httpbin_process: Httpbin) -> None:
    added_by_flask = {"HEAD", "OPTIONS"}
    named = {endpoint for endpoint in exercised() if endpoint.partition(" ")[0] not in added_by_flask}
    assert sorted(named - httpbin_process.endpoints) == []
