"""What the tests in a browser share: the browser, two servers, and windows that notice what goes wrong in them.

The browser lasts for one file: while it is there, no other test may run an event loop of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.server.console.world import Served, browsing, serving

WIDE: Final = {"width": 1180, "height": 800}
PHONE: Final = {"width": 360, "height": 720}
PAGES: Final = ("search", "timeline", "graph", "changes", "erasures", "audit", "jobs", "scopes", "catalog")
PATIENCE: Final = 60_000
"""Milliseconds; long enough for a busy machine."""
expect.set_options(timeout=PATIENCE)
READY: Final = ".content :is(.card, .lane, .node, .change, .empty, .summary)"
"""Selects what only a page that is drawn has."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("open")) as found:
        yield found


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("locked"), keys=True) as found:
        yield found


class Desk:
    """A window of the browser; what it asks for and what goes wrong in it is remembered."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **options})
        self.context.set_default_timeout(PATIENCE)
        self.page: Page = self.context.new_page()
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", self._asks)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: self.wrong.append(message.text) if _bad(message.text) else None)

    def _asks(self, request: Request) -> None:
        self.asked.append(request.url)

    def open(self, served: Served, path: str, *, user: str | None = "ana") -> Page:
        """Go to a page as one who looks at somebody's memories."""
        if user is not None:
            scope = json.dumps(json.dumps({"user_id": user}))
            self.page.add_init_script(
                f"sessionStorage.getItem('remanence.scope') ?? sessionStorage.setItem('remanence.scope', {scope})"
            )
        self.page.goto(f"{served.address}/#/{path}")
        self.page.wait_for_selector("#main h1, #main .failure")
        return self.page


def _bad(text: str) -> bool:
    return "Content Security Policy" in text or "TrustedHTML" in text


@pytest.fixture
def desk(browser: Browser) -> Iterator[Desk]:
    found = Desk(browser)
    yield found
    found.context.close()
    assert found.wrong == []


@pytest.fixture
def phone(browser: Browser) -> Iterator[Desk]:
    found = Desk(browser, viewport=PHONE, has_touch=True)
    yield found
    found.context.close()
    assert found.wrong == []
