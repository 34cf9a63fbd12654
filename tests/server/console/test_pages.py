"""Every page in a real browser against a real server: what it is for."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.server.console.conftest import Desk
from tests.server.console.world import NOW, Served

pytestmark = pytest.mark.loopback


# Searching


def test_search_shows_every_channel_of_a_score(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search")
    expect(page.get_by_text("14 in all, newest first")).to_be_visible()
    page.get_by_role("searchbox", name="Search").fill("where does Ana live")
    first = page.locator(".card").first
    expect(first).to_contain_text("Actually I live in Bergen now")
    first.get_by_role("button", name="Why?").click()
    expected = served.memory.search("where does Ana live", user_id="ana", explain=True)["results"][0]
    assert expected["memory"] == "Actually I live in Bergen now"
    shown = dict(
        zip(first.locator("th code").all_inner_texts(), first.locator("td.number").all_inner_texts(), strict=True)
    )
    counted = {name: share for name, share in expected["channels"].items() if abs(share) >= 0.005}
    assert shown.keys() == counted.keys()
    for name, text in shown.items():
        assert float(text.replace("−", "-")) == pytest.approx(counted[name], abs=0.006)
    for name in expected["channels"].keys() - counted.keys():
        expect(first).to_contain_text(name.replace("_", " "))
    bars = {code: first.locator("tr", has=page.locator(f"code:text-is('{code}')")) for code in counted}
    widths = {
        code: bar.locator(".rail span").evaluate("one => one.getBoundingClientRect().width")
        for code, bar in bars.items()
    }
    assert max(widths, key=lambda code: widths[code]) == max(counted, key=lambda code: abs(counted[code]))
    assert "q=where+does+Ana+live" in page.url


def test_search_says_what_is_left_out_and_why(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search?q=where does Ana live&threshold=0.5")
    shown = page.locator(".card:not(.out)")
    expect(shown.first).to_be_visible()
    count = shown.count()
    page.get_by_text("What was left out, and why").click()
    expect(page.locator(".card.out").first).to_contain_text("is below 50 %")
    assert shown.count() == count
    everything = served.memory.search("where does Ana live", user_id="ana", limit=25)["results"]
    assert count + page.locator(".card.out").count() == len(everything)


def test_why_a_certain_memory_is_not_there(desk: Desk, served: Served) -> None:
    memory = served.memory
    text = "The blue bicycle is in the cellar"
    found = {
        state: str(memory.add(text, user_id="cyclist", timestamp="2025-01-01")["results"][0]["id"])
        for state in ("deleted", "archived", "ended")
    }
    memory.delete(found["deleted"], user_id="cyclist")
    memory.archive(found["archived"], user_id="cyclist")
    memory.delete(found["ended"], user_id="cyclist", at="2025-06-01")
    page = desk.open(served, "search?q=blue bicycle", user="cyclist")
    page.get_by_text("Why is a certain memory not here?").click()
    for id, reason in (
        (found["deleted"], "It was deleted"),
        (found["archived"], "It was put away"),
        (found["ended"], "until 2025-06-01"),
        ("01K00000000000000000000000", "There is no such memory within this scope"),
    ):
        page.get_by_label("Memory", exact=True).fill(id)
        page.get_by_role("button", name="Find out").click()
        expect(page.locator(".reasons")).to_contain_text(reason)


def test_search_as_of_another_time(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search?q=where does Ana live")
    expect(page.locator(".card").first).to_contain_text("Bergen")
    page.get_by_label("As of (UTC)").fill("2024-06-01T12:00")
    expect(page.locator(".card").first).to_contain_text("I live in Lisbon")
    expect(page.locator(".summary")).to_contain_text("as of 2024-06-01")


def test_typing_asks_once_it_pauses(desk: Desk, served: Served) -> None:
    page = desk.open(served, "search")
    expect(page.locator(".card").first).to_be_visible()
    desk.asked.clear()
    page.get_by_role("searchbox").press_sequentially("spare key", delay=15)
    expect(page.locator(".card").first).to_contain_text("spare key")
    assert sum(url.endswith("/search") for url in desk.asked) == 1


def test_many_memories_come_page_by_page(desk: Desk, served: Served) -> None:
    served.memory.add_many({"content": f"Entry {number}", "user_id": "log"} for number in range(60))
    page = desk.open(served, "search", user="log")
    expect(page.locator(".card").first).to_contain_text("Entry 59")
    assert page.locator(".card").count() == 25
    page.get_by_role("button", name="Older").click()
    expect(page.locator(".card").first).to_contain_text("Entry 34")
    page.get_by_role("button", name="Newer").click()
    expect(page.locator(".card").first).to_contain_text("Entry 59")


# What was true when, and why


def test_the_slider_of_the_timeline(desk: Desk, served: Served) -> None:
    desk.page.clock.set_fixed_time(NOW)
    page = desk.open(served, "timeline")
    truth = page.locator(".truth")
    expect(truth).to_contain_text("Ana lives in Bergen")
    slider = page.get_by_label("As of")
    slider.focus()
    slider.press("Home")
    expect(truth).to_contain_text("Nothing that is known")
    slider.fill("400")
    expect(truth).to_contain_text("Ana lives in Lisbon")
    expect(truth).not_to_contain_text("Bergen now")
    day = re.search(r"True on (\d{4}-\d\d-\d\d)", truth.inner_text())
    assert day is not None
    then = served.memory.profile("Ana", user_id="ana", as_of=f"{day[1]}T12:00")
    facts = {row["memory"] for name in ("static", "current", "preferences") for row in then[name]}
    shown = {text for text in truth.locator("li a").all_inner_texts() if text.startswith("Ana")}
    assert shown == facts
    lit = page.locator(".bar.now").count()
    assert lit == truth.locator("li").count()
    truth.get_by_role("link", name="Search as of this day").click()
    expect(page.get_by_label("As of (UTC)")).to_have_value(re.compile(f"^{day[1]}"))


def test_the_timeline_of_one_matter(desk: Desk, served: Served) -> None:
    page = desk.open(served, "timeline")
    page.get_by_label("What", exact=True).select_option("home_city")
    expect(page.locator(".lane")).to_have_count(4)
    page.get_by_label("Of whom or what").fill("Ana")
    page.keyboard.press("Enter")
    expect(page.locator(".lane")).to_have_count(1)
    assert page.locator(".lane .bar").all_inner_texts() == ["Lisbon", "Oslo", "Bergen"]
    page.get_by_role("link", name=re.compile("Ana lives in Oslo")).click()
    expect(page.locator(".whole .text")).to_have_text("Ana lives in Oslo")


def test_the_lineage_of_a_fact(desk: Desk, served: Served) -> None:
    rows = served.memory.timeline(user_id="ana", attribute="home_city", subject="Ana")["results"]
    page = desk.open(served, f"memory/{rows[1]['id']}")
    expect(page.locator(".source q")).to_have_text("I moved from Lisbon to Oslo")
    lineage = page.locator(".lineage")
    expect(lineage.filter(has_text="What it took the place of")).to_contain_text("Ana lives in Lisbon")
    expect(lineage.filter(has_text="What took its place")).to_contain_text("Ana lives in Bergen")
    page.get_by_role("link", name=re.compile("The whole of")).click()
    expect(page.locator("h1")).to_have_text("Memory")
    expect(page.locator(".lineage").filter(has_text="What was worked out from it")).to_contain_text("Ana lives in Oslo")


# The graph


def test_the_graph_is_the_same_every_time_and_grows(desk: Desk, served: Served) -> None:
    page = desk.open(served, "graph")
    expect(page.locator(".node.chosen")).to_have_attribute("data-key", "ana")
    places = page.locator(".node").evaluate_all("nodes => nodes.map(node => node.getAttribute('transform'))")
    assert len(places) > 8
    page.reload()
    expect(page.locator(".node.chosen")).to_be_visible()
    again = page.locator(".node").evaluate_all("nodes => nodes.map(node => node.getAttribute('transform'))")
    assert again == places
    page.get_by_label("Around").fill("Henrik")
    page.keyboard.press("Enter")
    expect(page.locator(".node")).to_have_count(3)
    ana = page.locator(".node[data-key=ana]")
    expect(ana.locator(".badge")).to_have_text("+6")
    ana.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".side h2")).to_have_text("Ana")
    page.get_by_role("button", name="Show 6 more facts").click()
    expect(page.locator(".node[data-key=marta]")).to_be_visible()
    expect(ana.locator(".badge")).to_have_count(0)
    page.locator(".side").get_by_role("link", name="Ana's sister is Marta").click()
    expect(page.locator(".source q")).to_have_text(re.compile("My sister Marta"))


# Forgetting, and taking it back


def test_delete_and_undo_name_what_goes(desk: Desk, served: Served) -> None:
    text = "The password of the router is on its back"
    id = str(served.memory.add(text, user_id="cat")["results"][0]["id"])
    page = desk.open(served, f"memory/{id}", user="cat")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(text)
    expect(dialog).to_contain_text("user cat")
    dialog.get_by_role("button", name="Cancel").click()
    assert served.memory.get(id, user_id="cat") is not None
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".whole")).to_contain_text("deleted")
    assert served.memory.get(id, user_id="cat") is None
    page.locator(".note").get_by_role("button", name="Undo…").click()
    expect(page.get_by_role("dialog")).to_contain_text(text)
    expect(page.get_by_role("dialog")).to_contain_text("it will be found again")
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Delete…")).to_be_visible()
    assert served.memory.get(id, user_id="cat") is not None


def test_erase_says_what_rests_on_it_and_leaves_a_receipt_that_is_proved(desk: Desk, served: Served) -> None:
    memory = served.memory
    id = str(memory.add("I live in Reykjavik", user_id="dan", speaker="Dan")["results"][0]["id"])
    memory.flush()
    page = desk.open(served, f"memory/{id}", user="dan")
    page.get_by_role("button", name="Erase…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("I live in Reykjavik")
    expect(dialog).to_contain_text("fact: Dan lives in Reykjavik")
    go = dialog.get_by_role("button", name="Erase for good")
    expect(go).to_be_disabled()
    dialog.get_by_label("Reason").fill("he asked")
    dialog.get_by_label("Type erase to go on").fill("erase")
    go.click()
    expect(page.get_by_role("heading", name="Erased")).to_be_visible()
    receipt = memory.receipts(user_id="dan")[0]
    assert (receipt["ids"], receipt["reason"]) == ([id], "he asked")
    page.get_by_role("link", name="See it and prove it").click()
    card = page.locator(f"[data-receipt='{receipt['id']}']")
    expect(card).to_contain_text("he asked")
    card.get_by_role("button", name="Prove it").click()
    expect(card.locator(".proof")).to_contain_text("Nothing is left.")
    with page.expect_download() as saved:
        card.get_by_role("button", name="Save").click()
    with open(saved.value.path(), encoding="utf-8") as file:
        assert json.load(file) == receipt


def test_everything_of_a_scope_goes_only_when_it_is_named(desk: Desk, served: Served) -> None:
    memory = served.memory
    memory.add(["one", "two", "three"], user_id="gone")
    page = desk.open(served, "changes", user="gone")
    page.get_by_role("button", name="Delete every memory…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("3 memories")
    dialog.get_by_label("Type gone to go on").fill("gone")
    dialog.get_by_role("button", name="Delete all").click()
    expect(page.locator(".note")).to_contain_text("Deleted 3 memories")
    assert memory.stats(user_id="gone")["memories"] == 0
    page.locator(".change").first.get_by_role("button", name="Undo…").click()
    expect(page.get_by_role("dialog")).to_contain_text("two")
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    expect(page.locator(".note")).to_contain_text("Taken back")
    assert memory.stats(user_id="gone")["memories"] == 3
    page.goto(f"{served.address}/#/erasures")
    page.get_by_role("button", name="Erase everything of this scope…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Erase everything")).to_be_disabled()
    dialog.get_by_label("Type gone to go on").fill("gone")
    dialog.get_by_role("button", name="Erase everything").click()
    expect(page.locator(".receipt")).to_have_count(1)
    assert memory.get_all(user_id="gone")["results"] == []


def test_archive_and_quarantine_can_be_taken_back(desk: Desk, served: Served) -> None:
    id = str(served.memory.add("A rumour", user_id="fay")["results"][0]["id"])
    page = desk.open(served, f"memory/{id}", user="fay")
    for act, label, back in (("Archive", "archived", "Bring back"), ("Quarantine", "in quarantine", "Release")):
        page.get_by_role("button", name=f"{act}…").click()
        expect(page.get_by_role("dialog")).to_contain_text("A rumour")
        page.get_by_role("dialog").get_by_role("button", name=act).click()
        expect(page.locator(".whole .tag")).to_have_text(label)
        page.get_by_role("button", name=f"{back}…").click()
        page.get_by_role("dialog").get_by_role("button", name=back).click()
        expect(page.locator(".whole .tag")).to_have_count(0)


# Looking after it


def test_audit_shows_what_it_found(desk: Desk, served: Served) -> None:
    page = desk.open(served, "audit", user="bob")
    finding = page.locator(".finding").filter(has_text="Exact duplicates")
    expect(finding).to_contain_text("Bob prefers green tea to coffee")
    report = served.memory.audit(user_id="bob")
    assert page.locator(".finding").count() == len(report["rates"])
    page.get_by_label("Stale after so many days").fill("1")
    page.get_by_role("button", name="Examine").click()
    expect(page.locator(".summary")).to_contain_text("findings")
    finding.get_by_role("link").first.click()
    expect(page.locator(".whole .text")).to_have_text("Bob prefers green tea to coffee")


def test_jobs_are_worked_out(desk: Desk, served: Served) -> None:
    served.memory.add("I live in Turin", user_id="gus", speaker="Gus")
    page = desk.open(served, "jobs", user="gus")
    expect(page.locator(".summary")).to_contain_text("1 waiting")
    page.get_by_role("button", name="Work them out now").click()
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    assert served.memory.profile(user_id="gus")["current"][0]["memory"] == "Gus lives in Turin"
    served.memory.add("I like tea", user_id="gus", speaker="Gus")
    page.reload()
    page.get_by_role("button", name="Give up…").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("user gus")
    page.get_by_role("dialog").get_by_role("button", name="Give up").click()
    expect(page.get_by_text("Nothing waits")).to_be_visible()


def test_a_scope_is_found_and_looked_at(desk: Desk, served: Served) -> None:
    page = desk.open(served, "scopes")
    expect(page.get_by_role("heading", name="Now: user ana")).to_be_visible()
    page.get_by_label("Find a scope").fill("desk")
    expect(page.locator(".scopes-list li")).to_have_count(1)
    page.get_by_role("button", name="Look at agent desk, app ops").click()
    expect(page.locator(".card")).to_contain_text("Deploy on Fridays is forbidden")
    expect(page.get_by_label("Agent")).to_have_value("desk")


def test_the_catalog_shows_claims_and_results(desk: Desk, served: Served) -> None:
    page = desk.open(served, "catalog")
    page.get_by_label("Find").fill("fused lexical")
    entry = page.locator("[data-slug=recall]")
    expect(entry).to_contain_text("finds the evidence of a question more often than BM25")
    entry.locator("summary").first.click()
    expect(entry).to_contain_text("remanence.mechanisms.records.recall")
    expect(entry.get_by_role("row").filter(has_text="LoCoMo")).to_have_count(1)
    page.get_by_label("Status").select_option("planned")
    page.get_by_label("Find").fill("")
    expect(page.locator(".entry").first).to_contain_text("planned")
    assert page.locator(".entry").count() == 50
