"""Take the pictures of the console that the guide shows: `python -m tools.console_screenshots [name …]`.

A server with a small made-up memory runs on this machine for as long as it takes. The clock stands still, so that the
pictures change only when the console does. Needs Chromium and the packages of the extras `dev` and `server`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

from tests.server.console.world import NOW, Served, browsing, serving

FOLDER: Final = Path(__file__).parents[1] / "docs/images/console"
MOST: Final = 200_000
SCOPE: Final = "remanence.scope"
ANA: Final = '{"user_id": "ana"}'
WIDE: Final = (1180, 780)
PHONE: Final = (360, 740)

Act = Callable[[Page, Served], None]


def search(page: Page, served: Served) -> None:
    """Results with the channels of the first."""
    page.goto(f"{served.address}/#/search?q=where does Ana live")
    page.get_by_role("button", name="Why?").first.click()
    page.wait_for_selector(".channels")


def timeline(page: Page, served: Served) -> None:
    """The slider at a day on which something else was true."""
    page.goto(f"{served.address}/#/timeline")
    page.get_by_label("As of").fill("480")


def lineage(page: Page, served: Served) -> None:
    """A fact and the words that it rests on."""
    facts = served.memory.timeline(user_id="ana", attribute="home_city")["results"]
    fact = next(row["id"] for row in facts if row["memory"] == "Ana lives in Oslo")
    page.goto(f"{served.address}/#/memory/{fact}")
    page.wait_for_selector(".source")


def graph(page: Page, served: Served) -> None:
    """Everybody and everything, with one chosen."""
    page.goto(f"{served.address}/#/graph")
    page.wait_for_selector(".node.chosen")


def forget(page: Page, served: Served) -> None:
    """The dialog that names what will go."""
    page.goto(f"{served.address}/#/search?q=where is the spare key")
    page.get_by_role("link", name="I keep the spare key").click()
    page.get_by_role("button", name="Erase…").click()
    page.wait_for_selector("dialog .named")


def changes(page: Page, served: Served) -> None:
    """What was done last."""
    page.goto(f"{served.address}/#/changes")
    page.get_by_role("link", name="Rex hates").wait_for()


def erasures(page: Page, served: Served) -> None:
    """A receipt and its proof."""
    if not served.memory.receipts(user_id="ana"):
        found = served.memory.search("dentist", user_id="ana", limit=1)["results"][0]
        served.memory.erase(found["id"], user_id="ana", reason="she asked for it")
    page.goto(f"{served.address}/#/erasures")
    page.get_by_role("button", name="Prove it").first.click()
    page.wait_for_selector(".proof")


def audit(page: Page, served: Served) -> None:
    """What an audit finds in a scope with a repetition."""
    page.goto(f"{served.address}/")
    page.evaluate("sessionStorage.setItem('remanence.scope', JSON.stringify({user_id: 'bob'}))")
    page.goto(f"{served.address}/?2#/audit")
    page.wait_for_selector(".finding")


def jobs(page: Page, served: Served) -> None:
    """What waits."""
    served.memory.add("I adopted a cat called Minka", user_id="ana", run_id="today", timestamp=NOW, speaker="Ana")
    page.goto(f"{served.address}/#/jobs")
    page.wait_for_selector(".content .change")


def scopes(page: Page, served: Served) -> None:
    """Whose memories there are."""
    page.goto(f"{served.address}/#/scopes")
    page.wait_for_selector(".scopes-list li")


def catalog(page: Page, served: Served) -> None:
    """Claims, and the results of one mechanism."""
    page.goto(f"{served.address}/#/catalog?q=recall")
    page.locator("details[data-slug=recall] summary").click()
    page.wait_for_selector(".inside table")


def sign_in(page: Page, served: Served) -> None:
    """The form that asks for a key."""
    page.route("**/api/v1/whoami", lambda route: route.fulfill(status=401, json={}))
    page.goto(f"{served.address}/")
    page.wait_for_selector(".sign-in")


PICTURES: Final[dict[str, tuple[Act, tuple[int, int], bool]]] = {
    "search": (search, WIDE, False),
    "search-dark": (search, WIDE, True),
    "search-phone": (search, PHONE, False),
    "timeline": (timeline, WIDE, False),
    "timeline-phone": (timeline, PHONE, True),
    "lineage": (lineage, WIDE, False),
    "graph": (graph, WIDE, False),
    "graph-dark": (graph, WIDE, True),
    "graph-phone": (graph, PHONE, False),
    "catalog": (catalog, WIDE, False),
    "scopes": (scopes, WIDE, False),
    "audit": (audit, WIDE, False),
    "changes": (changes, WIDE, False),
    "forget": (forget, WIDE, False),
    "erasures": (erasures, WIDE, False),
    "jobs": (jobs, WIDE, False),
    "sign-in": (sign_in, WIDE, False),
}


def take(browser: Browser, served: Served, name: str) -> Path:
    """One picture."""
    act, (width, height), dark = PICTURES[name]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    page = context.new_page()
    page.clock.set_fixed_time(NOW)
    page.add_init_script(f"sessionStorage.getItem('{SCOPE}') ?? sessionStorage.setItem('{SCOPE}', '{ANA}')")
    act(page, served)
    page.wait_for_load_state("networkidle")
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    context.close()
    if path.stat().st_size > MOST:
        raise SystemExit(f"{path.name} has {path.stat().st_size:,} bytes; {MOST:,} are the limit")
    return path


def main(names: list[str]) -> None:
    """Take these pictures, or all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served, browsing() as browser:
        for name in names or PICTURES:
            path = take(browser, served, name)
            print(path.relative_to(FOLDER.parents[2]), path.stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1:])
