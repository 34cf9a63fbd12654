"""What strains a page: scripts that run leftward, very long words, slow answers, a server that is gone."""

from __future__ import annotations

from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect

from tests.server.console.conftest import Desk
from tests.server.console.world import Served

pytestmark = pytest.mark.loopback

HEBREW: Final = "אני גרה בתל אביב ועובדת כאדריכלית"
RUN: Final = "יומן"
UNBROKEN: Final = "y" * 200
FSI: Final = "\u2068"
PDI: Final = "\u2069"
OVERRIDE: Final = "\u202e"
RUNS: Final = "one => getComputedStyle(one).direction"


@pytest.fixture(scope="module")
def strained(served: Served) -> Served:
    """Memories of Lea that few pages are drawn for."""
    add = served.memory.add
    add(HEBREW, user_id="lea", run_id=RUN, speaker="לאה", timestamp="2025-01-01")
    add("a " * 5_000, user_id="lea", timestamp="2025-01-02")
    add(f"The harbour {UNBROKEN}", user_id="lea", speaker=UNBROKEN, timestamp="2025-01-03")
    return served


def test_words_run_in_the_direction_of_their_script_and_turn_nothing_around_them(desk: Desk, strained: Served) -> None:
    page = desk.open(strained, "search", user="lea")
    text = page.locator(".card .text", has_text=HEBREW)
    assert text.evaluate(RUNS) == "rtl"
    assert page.locator(".card .text", has_text="The harbour").evaluate(RUNS) == "ltr"
    card = page.locator(".card", has_text=HEBREW)
    assert f"user lea, run {FSI}{RUN}{PDI}" in card.locator(".meta").inner_text()
    text.get_by_role("link").click()
    whole = page.locator(".whole .text")
    expect(whole).to_have_text(HEBREW)
    assert whole.evaluate(RUNS) == "rtl"


def test_a_hidden_sign_in_an_id_reorders_no_sentence(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search", user=f"ev{OVERRIDE}e")
    expect(page.locator(".empty")).to_be_visible()
    page.get_by_label("Run").fill(f"x{OVERRIDE}y")
    page.keyboard.press("Enter")
    expect(page.locator("#announce")).to_contain_text("user eve, run xy")


def test_a_long_memory_has_a_short_name_in_a_list_and_is_whole_on_its_page(desk: Desk, strained: Served) -> None:
    page = desk.open(strained, "search", user="lea")
    link = page.locator(".card .text a", has_text="a a a a")
    assert len(link.inner_text()) <= 1_000
    link.click()
    assert len(page.locator(".whole .text").text_content() or "") == 10_000


def test_a_dialog_holds_the_longest_word(phone: Desk, strained: Served) -> None:
    page = phone.open(strained, "search", user="lea")
    page.locator(".card .text a", has_text="The harbour").click()
    page.get_by_role("button", name="Erase…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("yyyy")
    assert dialog.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_one_page_of_memories_has_no_buttons_that_lead_nowhere(desk: Desk, strained: Served) -> None:
    page = desk.open(strained, "search", user="lea")
    expect(page.locator(".card")).to_have_count(3)
    expect(page.get_by_role("button", name="Older")).to_have_count(0)


def test_a_page_that_cannot_be_fetched_says_so_and_comes_back(desk: Desk, served: Served) -> None:
    desk.page.route("**/pages/graph.js", lambda route: route.abort())
    page = desk.open(served, "search")
    expect(page.locator(".card").first).to_be_visible()
    page.get_by_role("link", name="Graph").click()
    failure = page.locator(".failure[data-status='0']")
    expect(failure).to_contain_text("cannot be reached")
    desk.context.set_offline(True)
    failure.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert").last).to_contain_text("cannot be reached")
    expect(failure).to_be_visible()
    desk.context.set_offline(False)
    page.unroute("**/pages/graph.js")
    failure.get_by_role("button", name="Try again").click()
    expect(page.locator(".node").first).to_be_visible()


def test_a_server_that_is_gone_is_told_once(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search")
    expect(page.locator(".card").first).to_be_visible()
    desk.context.set_offline(True)
    page.get_by_role("searchbox").fill("dog")
    failure = page.locator(".failure[data-status='0']")
    expect(failure).to_contain_text("cannot be reached")
    assert failure.inner_text().count("cannot be reached") == 1
    desk.context.set_offline(False)


def test_the_header_hides_nothing_that_has_the_focus(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search")
    expect(page.locator(".card").first).to_be_visible()
    page.locator(".card .text a").last.focus()
    under = """() => {
        const at = document.activeElement;
        const edge = document.querySelector(".top").getBoundingClientRect().bottom;
        return !at.closest(".top, nav, .skip") && at.getBoundingClientRect().top < edge;
    }"""
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        assert not page.evaluate(under)


def test_undo_says_of_what(desk: Desk, served: Served) -> None:
    page = desk.open(served, "changes")
    expect(page.get_by_role("button", name="Undo… add of 2026-03-01 09:30").first).to_be_visible()


def test_what_is_being_replaced_fades_until_the_answer_is_there(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search")
    expect(page.locator(".card").first).to_be_visible()
    held: list[Any] = []
    page.route("**/api/v1/search", lambda route: held.append(route))
    page.get_by_role("searchbox").fill("dog")
    results = page.get_by_label("Results")
    expect(results).to_have_attribute("aria-busy", "true")
    expect(page.locator(".card").first).to_have_css("opacity", "0.5")
    expect(page.locator("#announce")).to_have_text("Still loading…")
    held[0].continue_()
    expect(results).to_have_attribute("aria-busy", "false")
    expect(page.locator(".card").first).to_have_css("opacity", "1")


def test_jobs_are_listed_before_they_are_counted(desk: Desk, served: Served) -> None:
    held: list[Any] = []
    desk.page.route("**/api/v1/stats*", lambda route: held.append(route))
    page = desk.open(served, "jobs")
    expect(page.get_by_label("Jobs").locator(".empty, .change").first).to_be_visible()
    held[0].continue_()
    expect(page.locator(".counts")).to_contain_text("waiting")


def test_those_who_hear_the_page_are_not_read_whole_lists(desk: Desk, served: Served) -> None:
    page = desk.open(served, "timeline")
    slider = page.get_by_label("As of")
    assert slider.get_attribute("aria-describedby") is None
    slider.press("Home")
    expect(page.locator("#announce")).to_contain_text("held then")
    page.goto(f"{served.address}/#/graph")
    side = page.get_by_role("region", name="What was chosen")
    assert side.get_attribute("aria-live") is None
    other = page.get_by_role("button", name="Marta, ")
    other.press("Enter")
    expect(page.locator("#announce")).to_contain_text("Marta: ")
    expect(side.get_by_role("heading")).to_have_text("Marta")


def test_a_crowded_picture_still_names_whom_most_is_known_of(desk: Desk, served: Served) -> None:
    page = desk.open(served, "graph")
    page.wait_for_selector(".node")
    page.locator(".graph").evaluate("one => one.classList.add('tiny')")
    assert page.locator(".node.hub.far .name").count() > 0
    shown = page.locator(".node.hub .name").evaluate_all("all => all.map((one) => getComputedStyle(one).display)")
    assert "none" not in shown
    chosen = page.locator(".node.chosen .name")
    assert float(chosen.get_attribute("y") or 0) < 0
    page.locator(".node:not(.chosen)").first.press("Enter")
    above = "all => all.filter((one) => Number(one.getAttribute('y')) < 0).length"
    assert page.locator(".node .name").evaluate_all(above) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_edges_of_controls_can_be_seen(browser: Browser, served: Served, scheme: Any) -> None:
    desk = Desk(browser, color_scheme=scheme)
    page = desk.open(served, "search")
    page.wait_for_selector(".card")
    ratios = page.evaluate("""() => {
        const light = (text) => {
            const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255)
                .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const style = (one) => getComputedStyle(one);
        const grounds = [document.body, document.querySelector(".scope")].map((one) => style(one).backgroundColor);
        const controls = [...document.querySelectorAll("input, select, button")].filter((one) => one.checkVisibility());
        return controls.flatMap((one) => grounds.map((ground) => {
            const [a, b] = [light(style(one).borderTopColor), light(ground)].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
        }));
    }""")
    assert min(ratios) >= 3
    desk.context.close()
    assert desk.wrong == []
