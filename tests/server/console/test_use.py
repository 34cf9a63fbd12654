"""The console in a real browser: who may come in, hostile words, keyboard, phone, light and dark, bad days."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect
from playwright.sync_api import TimeoutError as TooLate

from tests.server.console.conftest import PAGES, PHONE, READY, Desk
from tests.server.console.world import HOSTILE, SEEN, Served

pytestmark = pytest.mark.loopback


# Who may come in


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(desk: Desk, locked: Served) -> None:
    page = desk.open(locked, "search", user=None)
    key = page.get_by_label("Key", exact=True)
    expect(key).to_be_focused()
    key.fill("rmk_nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_text("That key is not valid")).to_be_visible()
    key.fill(locked.tokens["reader"])
    page.keyboard.press("Enter")
    expect(page.get_by_label("User")).to_be_disabled()
    expect(page.get_by_label("User")).to_have_value("ana")
    expect(page.locator(".card").first).to_be_visible()
    secret = locked.tokens["reader"].rpartition("_")[2]
    assert not any(secret in url for url in (*desk.asked, page.url))
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie").find(secret) == -1
    page.reload()
    expect(page.locator(".card").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('remanence.key')") is None


def signed_in(desk: Desk, locked: Served, name: str, path: str) -> Page:
    desk.page.add_init_script(f"sessionStorage.setItem('remanence.key', {json.dumps(locked.tokens[name])})")
    return desk.open(locked, path, user=None)


def test_what_a_key_may_not_do_is_said(desk: Desk, locked: Served) -> None:
    page = signed_in(desk, locked, "reader", "scopes")
    failure = page.locator(".failure[data-status='403']")
    expect(failure).to_contain_text("this key may not administer")
    page.goto(f"{locked.address}/#/search?q=spare key")
    page.get_by_role("link", name=re.compile("spare key")).first.click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".note.bad")).to_contain_text("this key may not write")


def test_a_key_that_ends_leads_back_to_the_door(desk: Desk, locked: Served) -> None:
    key, token = locked.keys.create("for a moment", {"user_id": "ana"}, ("read",))
    locked.tokens["moment"] = token
    page = desk.open(locked, "search", user=None)
    page.get_by_label("Key", exact=True).fill(token)
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_be_visible()
    locked.keys.revoke(key.id)
    page.get_by_role("searchbox").fill("dog")
    expect(page.get_by_text("Your key has ended")).to_be_visible()
    expect(page.locator(".card")).to_have_count(0)


def test_too_many_requests_and_no_server_are_told_with_a_way_on(desk: Desk, served: Served) -> None:
    body = {"error": {"type": "rate_limited", "message": "this key asks too often", "param": None, "request_id": "r1"}}
    answers = iter([429])

    def busy(route: Any) -> None:
        if next(answers, None):
            route.fulfill(status=429, json=body, headers={"retry-after": "1"})
        else:
            route.fallback()

    desk.page.route("**/api/v1/memories/list", busy)
    page = desk.open(served, "search")
    expect(page.locator(".failure[data-status='429']")).to_contain_text("this key asks too often")
    expect(page.locator(".card").first).to_be_visible()
    desk.context.set_offline(True)
    page.get_by_role("searchbox").fill("dog")
    failure = page.locator(".failure[data-status='0']")
    expect(failure).to_contain_text("cannot be reached")
    desk.context.set_offline(False)
    failure.get_by_role("button", name="Try again").click()
    expect(page.locator(".card").first).to_contain_text("Rex")


def test_empty_pages_say_what_to_do(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search", user=None)
    expect(page.get_by_role("heading", name="Whose memories?")).to_be_visible()
    page.get_by_role("button", name="user bob", exact=True).click()
    expect(page.locator(".card").first).to_be_visible()
    page.get_by_label("User").fill("nobody at all")
    page.keyboard.press("Enter")
    for name in ("search", "timeline", "graph", "changes", "erasures", "audit", "jobs"):
        page.goto(f"{served.address}/#/{name}")
        expect(page.locator(".empty p")).not_to_be_empty()


# Hostile words


def test_memories_are_text_wherever_they_stand(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search", user="eve")
    expect(page.locator(".card").first).to_contain_text("<img src=x onerror")
    page.locator(".card", has_text="Eve<img").get_by_role("link").first.click()
    expect(page.locator(".whole .text")).to_have_text(HOSTILE)
    page.get_by_text("1 value").click()
    expect(page.locator("pre")).to_contain_text(f"key{HOSTILE}")
    page.get_by_role("button", name="Delete…").click()
    expect(page.get_by_role("dialog")).to_contain_text("<img src=x")
    page.keyboard.press("Escape")
    for name in PAGES:
        page.goto(f"{served.address}/#/{name}")
        page.wait_for_selector(READY)
    page.goto(f"{served.address}/#/search?q={HOSTILE}")
    page.wait_for_selector(READY)
    page.goto(f"{served.address}/#/graph?around={HOSTILE}")
    page.wait_for_selector(READY)
    page.goto(f"{served.address}/#/memory/{HOSTILE}")
    page.wait_for_selector(".failure, .empty")
    assert page.evaluate(f"{SEEN} ?? null") is None
    assert page.locator("main img, main svg[onload], main script").count() == 0


def test_words_read_as_markup_would_be_stopped_and_noticed(browser: Browser, served: Served) -> None:
    desk = Desk(browser)
    page = desk.open(served, "search")
    outcome = page.evaluate(
        "text => { try { document.body.innerHTML = text; return 'read'; } catch { return 'stopped'; } }", HOSTILE
    )
    assert outcome == "stopped"
    assert page.evaluate(f"{SEEN} ?? null") is None
    assert desk.wrong
    desk.context.close()


def test_nothing_is_asked_of_anybody_else(desk: Desk, served: Served) -> None:
    policies: list[str | None] = []

    def answered(response: Response) -> None:
        if response.url.rstrip("/") == served.address:
            policies.append(response.headers.get("content-security-policy"))

    desk.page.on("response", answered)
    page = desk.open(served, "search")
    for name in PAGES:
        page.goto(f"{served.address}/#/{name}")
        page.wait_for_selector(READY)
    assert desk.asked
    assert all(url.startswith((f"{served.address}/", "blob:")) for url in desk.asked)
    assert all(policy and "default-src 'self'" in policy for policy in policies)


# By keyboard, on a phone, in the dark


def go(page: Page, key: str, title: str) -> None:
    """Two keys in a row. They count as one word within a second and a half, which a busy machine may miss."""
    for _ in range(10):
        page.keyboard.press("g")
        page.keyboard.press(key)
        with contextlib.suppress(TooLate):
            page.wait_for_function(
                "title => document.querySelector('h1')?.textContent === title", arg=title, timeout=3000
            )
            return
    raise AssertionError(f"g {key} does not lead to {title}")


def test_the_keyboard_is_enough(desk: Desk, served: Served) -> None:
    page = desk.open(served, "catalog")
    page.wait_for_selector(READY)
    for key, title in (("t", "Timeline"), ("g", "Graph"), ("s", "Search")):
        go(page, key, title)
        if title != "Search":
            expect(page.locator("h1")).to_be_focused()
    page.wait_for_selector(READY)
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("where is the spare key")
    expect(page.locator(".card").first).to_contain_text("spare key")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("w")
    expect(page.locator(".channels").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".whole .text")).to_contain_text("spare key")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Delete…":
            break
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("spare key")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".whole")).to_contain_text("deleted")
    page.locator(".note button").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("spare key")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".whole .tag.bad")).to_have_count(0)


def test_the_first_tab_skips_to_the_content(desk: Desk, served: Served) -> None:
    page = desk.open(served, "catalog")
    page.wait_for_selector(READY)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    expect(page.locator("h1")).to_have_text("Catalog")


def test_every_control_has_a_name(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search")
    nameless = """() => [...document.querySelectorAll("a, button, input, select, [role=button]")].filter((one) =>
        !one.labels?.length && !one.getAttribute("aria-label") && !one.textContent.trim())
        .map((one) => one.outerHTML)"""
    for name in PAGES:
        page.goto(f"{served.address}/#/{name}")
        page.wait_for_selector(READY)
        assert page.evaluate(nameless) == [], name


def test_what_is_read_on_a_control_is_in_its_name(desk: Desk, served: Served) -> None:
    """So that it can be spoken to (WCAG 2.5.3)."""
    page = desk.open(served, "search")
    other = """() => [...document.querySelectorAll("[aria-label]:is(a, button, [role=button])")].filter((one) => {
        const copy = one.cloneNode(true);
        for (const unread of copy.querySelectorAll("[aria-hidden=true]")) unread.remove();
        const read = copy.textContent.replace(/…$/, "").trim().toLowerCase();
        return /[a-z]/.test(read) && !one.getAttribute("aria-label").toLowerCase().includes(read);
    }).map((one) => one.outerHTML)"""
    for name in PAGES:
        page.goto(f"{served.address}/#/{name}")
        page.wait_for_selector(READY)
        assert page.evaluate(other) == [], name


def test_a_phone_scrolls_no_page_sideways(phone: Desk, served: Served) -> None:
    fact = served.memory.timeline(user_id="ana")["results"][0]["id"]
    page = phone.open(served, "search?q=where does Ana live")
    page.get_by_role("button", name="Why?").first.click()
    for name in ("search?q=where does Ana live", *PAGES, f"memory/{fact}"):
        page.goto(f"{served.address}/#/{name}")
        page.wait_for_selector(".page-memory .whole" if name.startswith("memory") else READY)
        width = page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        assert width <= PHONE["width"], name
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Timeline").click()
    expect(page.locator("h1")).to_have_text("Timeline")
    expect(page.get_by_role("link", name="Jobs")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_can_be_read_in_the_light_and_in_the_dark(browser: Browser, served: Served, scheme: Any) -> None:
    desk = Desk(browser, color_scheme=scheme)
    page = desk.open(served, "search?q=where does Ana live")
    page.wait_for_selector(".card")
    contrast = """() => {
        const light = (text) => {
            const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255)
                .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (one) => {
            for (; one; one = one.parentElement) {
                const colour = getComputedStyle(one).backgroundColor;
                if (!/, 0\\)$|transparent/.test(colour)) return colour;
            }
        };
        return [...document.querySelectorAll("p, a, button, input, span, h1, label, code")]
            .filter((one) => one.checkVisibility() && one.textContent.trim())
            .map((one) => {
                const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
                return [(a + 0.05) / (b + 0.05), one.textContent.slice(0, 40)];
            }).filter(([ratio]) => ratio < 4.5);
    }"""
    assert page.evaluate(contrast) == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 25)"
    assert dark is (scheme == "dark")
    desk.context.close()
    assert desk.wrong == []


def test_the_colours_can_be_chosen_and_stay(desk: Desk, served: Served) -> None:
    page = desk.open(served, "catalog")
    ground = "getComputedStyle(document.body).backgroundColor"
    control = page.get_by_role("button", name="Colours")
    before = page.evaluate(ground)
    control.click()
    control.click()
    expect(control).to_have_text("Dark")
    assert page.evaluate(ground) != before
    page.reload()
    expect(control).to_have_text("Dark")
    assert page.evaluate(ground) != before
    control.click()
    assert page.evaluate(ground) == before
