from __future__ import annotations
import netio, pytest
from collections.abc import Iterator
from tests.docs.origin import BookApp, Service, running_service
from tests.docs.pages import PAGES, PROJECT, Page

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
async def test_run(path, service, monkeypatch):
    class S(netio.Session):
        def __init__(self, **o):
            if "connect" not in o:
                o.update(connect=service.connect, verify=service.trust)
            super().__init__(**o)

    monkeypatch.setattr(netio, "Session", S)
    service.app.turned_away = 0
    for run in await Page(path).run():
        assert run.printed == (run.shown or ""), str(run.block)
