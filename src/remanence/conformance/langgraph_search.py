"""Rules L30 to L46: what a LangGraph store promises for queries over an index, and for items that expire."""

from __future__ import annotations

from remanence.conformance.langgraph_stage import Stage, keys, need, sweep
from remanence.conformance.rules import rule
from remanence.conformance.stage import expect, raises, same

NS = ("docs",)
TEXTS = {
    "harbour": "the old harbour crane lifts heavy iron crates",
    "garden": "tomato seedlings need warm soil and gentle water",
    "violin": "her violin teacher practises scales every morning",
    "glacier": "blue glacier ice melts slowly in august",
    "bakery": "the bakery sells rye bread and almond pastry",
    "signal": "radio signal strength drops behind the granite ridge",
}


@rule("L30", when="index")
def nearest_first(stage: Stage) -> None:
    """A query puts first what is nearest to it, with a score, and scores do not rise further down."""
    store = stage.indexed("text")
    for key, text in TEXTS.items():
        store.put(NS, key, {"text": text})
    for key, text in TEXTS.items():
        found = store.search(NS, query=text)
        same(keys(found)[:1], [key], f"the first item for {text!r}")
        scores = [item.score for item in found if item.score is not None]
        expect(scores, "no item has a score")
        same(scores, sorted(scores, reverse=True), "scores")


@rule("L31", when="index")
def whole_values(stage: Stage) -> None:
    """Without fields the whole value is indexed."""
    store = stage.indexed()
    for key, text in TEXTS.items():
        store.put(NS, key, {"some": {"deep": [text]}})
    same(keys(store.search(NS, query="violin teacher practises scales"))[:1], ["violin"], "the first item")


@rule("L32", when="index")
def only_its_fields(stage: Stage) -> None:
    """Only the configured fields are indexed."""
    store = stage.indexed("text")
    store.put(NS, "right", {"text": TEXTS["garden"], "note": TEXTS["violin"]})
    store.put(NS, "wrong", {"text": TEXTS["violin"], "note": TEXTS["garden"]})
    same(keys(store.search(NS, query=TEXTS["garden"]))[:1], ["right"], "the first item for words of its text")


@rule("L33", when="index")
def own_fields(stage: Stage) -> None:
    """`index` of a put names the fields of this item; `False` leaves it without a score, and get still has it."""
    store = stage.indexed("text")
    store.put(NS, "own", {"text": TEXTS["violin"], "note": TEXTS["garden"]}, index=["note"])
    store.put(NS, "text", {"text": TEXTS["bakery"], "note": TEXTS["garden"]})
    store.put(NS, "none", {"text": TEXTS["glacier"]}, index=False)
    same(keys(store.search(NS, query=TEXTS["garden"]))[:1], ["own"], "the first item for words of its own field")
    scored = {item.key for item in store.search(NS, query=TEXTS["glacier"]) if item.score is not None}
    expect("none" not in scored, "an item that is not indexed has a score")
    expect(store.get(NS, "none") is not None, "an item that is not indexed cannot be got")


@rule("L34", when="index")
def paths(stage: Stage) -> None:
    """Paths go into objects and lists: `a.b`, `c[0]`, `c[-1]`, `c[*].d`."""
    store = stage.indexed("a.b", "c[0]", "d[-1]", "e[*].f")
    store.put(NS, "nested", {"a": {"b": TEXTS["harbour"]}})
    store.put(NS, "first", {"c": [TEXTS["garden"], TEXTS["signal"]]})
    store.put(NS, "last", {"d": [TEXTS["signal"], TEXTS["violin"]]})
    store.put(NS, "each", {"e": [{"f": TEXTS["bakery"]}, {"f": TEXTS["glacier"]}]})
    wanted = {"harbour": "nested", "garden": "first", "violin": "last", "bakery": "each", "glacier": "each"}
    for text, key in wanted.items():
        same(keys(store.search(NS, query=TEXTS[text]))[:1], [key], f"the first item for {TEXTS[text]!r}")


@rule("L35", when="index")
def each_once(stage: Stage) -> None:
    """An item with several indexed texts is found once, by its best one, and does not crowd others out."""
    store = stage.indexed("parts[*]")
    store.put(NS, "many", {"parts": [f"{TEXTS['garden']} {number}" for number in range(12)]})
    store.put(NS, "one", {"parts": ["warm soil"]})
    found = keys(store.search(NS, query=TEXTS["garden"], limit=2))
    same(found, ["many", "one"], "items")


@rule("L36", when="index")
def fresh_index(stage: Stage) -> None:
    """A put of an existing key replaces what is indexed; nothing of the old text is left to be found by."""
    store = stage.indexed("text", "more[*]")
    store.put(NS, "k", {"text": TEXTS["garden"], "more": [TEXTS["violin"], TEXTS["signal"]]})
    store.put(NS, "other", {"text": "tomato seedlings for her violin teacher"})
    store.put(NS, "k", {"text": TEXTS["bakery"]})
    for old in ("garden", "violin"):
        same(keys(store.search(NS, query=TEXTS[old]))[:1], ["other"], f"the first item for {TEXTS[old]!r}")
    store.put(NS, "k", {"text": TEXTS["bakery"]}, index=False)
    scored = {item.key for item in store.search(NS, query=TEXTS["bakery"]) if item.score is not None}
    expect("k" not in scored, "an item that is indexed no more has a score")


@rule("L37", when="index")
def deleted_are_not_found(stage: Stage) -> None:
    """No query finds a deleted item."""
    store = stage.indexed("text")
    for key, text in TEXTS.items():
        store.put(NS, key, {"text": text})
    store.delete(NS, "garden")
    expect("garden" not in keys(store.search(NS, query=TEXTS["garden"])), "a deleted item was found")


@rule("L38", when="index")
def queries_stay_within(stage: Stage) -> None:
    """A query finds nothing outside its namespace, and filters hold for it too."""
    store = stage.indexed("text")
    for label in ("acme", "acme-corp", "acm", "ACME"):
        store.put(("tenant", label), "k", {"text": TEXTS["garden"], "label": label, "n": len(label)})
    for label in ("acme", "acm"):
        found = store.search(("tenant", label), query=TEXTS["garden"])
        same([item.value["label"] for item in found], [label], f"labels found under {label!r}")
    found = store.search(("tenant",), query=TEXTS["garden"], filter={"n": {"$gt": 4}})
    same([item.value["label"] for item in found], ["acme-corp"], "labels of those with n > 4")


@rule("L39", when="index")
def ranked_pages(stage: Stage) -> None:
    """`limit` and `offset` go through the ranked items, each once."""
    store = stage.indexed("text")
    for number in range(12):
        store.put(NS, f"k{number:02}", {"text": f"{TEXTS['garden']} {number}"})
    seen = [key for start in range(0, 12, 3) for key in keys(store.search(NS, query="soil", limit=3, offset=start))]
    same(sorted(seen), [f"k{number:02}" for number in range(12)], "keys of all pages")


@rule("L40", unless="ttl")
def no_silent_ttl(stage: Stage) -> None:
    """A store without expiry refuses a put with a ttl."""
    store = stage.store()
    raises(NotImplementedError, lambda: store.put(NS, "k", {"v": 1}, ttl=1), "a put with a ttl")
    store.put(NS, "k", {"v": 1}, ttl=None)


@rule("L41", when="ttl")
def expiring(stage: Stage) -> None:
    """After its minutes an item is swept; before, and without a ttl, it is not."""
    store = stage.timed()
    store.put(NS, "short", {"v": 1}, ttl=10)
    store.put(NS, "long", {"v": 1}, ttl=100)
    store.put(NS, "ever", {"v": 1})
    stage.minutes_pass(store, 5)
    sweep(store)
    same(sorted(keys(store.search(NS, refresh_ttl=False))), ["ever", "long", "short"], "items after 5 minutes")
    stage.minutes_pass(store, 6)
    sweep(store)
    same(sorted(keys(store.search(NS, refresh_ttl=False))), ["ever", "long"], "items after 11 minutes")
    same(store.get(NS, "short"), None, "the item that expired")


@rule("L42", when="ttl")
def reading_prolongs(stage: Stage) -> None:
    """Get and search begin the time anew."""
    store = stage.timed()
    for key in ("got", "searched", "left"):
        store.put((*NS, key), key, {"v": 1}, ttl=10)
    stage.minutes_pass(store, 6)
    store.get((*NS, "got"), "got")
    store.search((*NS, "searched"))
    stage.minutes_pass(store, 6)
    sweep(store)
    same(sorted(keys(store.search(NS, refresh_ttl=False))), ["got", "searched"], "items after 12 minutes")


@rule("L43", when="ttl")
def reading_need_not_prolong(stage: Stage) -> None:
    """`refresh_ttl=False` does not, and neither does a store whose `refresh_on_read` is False, unless asked to."""
    store = stage.timed()
    store.put(NS, "k", {"v": 1}, ttl=10)
    stage.minutes_pass(store, 6)
    store.get(NS, "k", refresh_ttl=False)
    store.search(NS, refresh_ttl=False)
    stage.minutes_pass(store, 6)
    sweep(store)
    same(store.get(NS, "k"), None, "an item that was read without prolonging it")
    still = stage.timed(refresh_on_read=False)
    still.put(NS, "read", {"v": 1}, ttl=10)
    still.put(NS, "asked", {"v": 1}, ttl=10)
    stage.minutes_pass(still, 6)
    still.get(NS, "read")
    still.get(NS, "asked", refresh_ttl=True)
    stage.minutes_pass(still, 6)
    sweep(still)
    same(keys(still.search(NS)), ["asked"], "items of a store that does not refresh on read")


@rule("L44", when="ttl")
def default_ttl(stage: Stage) -> None:
    """`default_ttl` holds for puts without a ttl; `ttl=None` is no end, also where there is a default."""
    store = stage.timed(default_ttl=10)
    store.put(NS, "default", {"v": 1})
    store.put(NS, "own", {"v": 1}, ttl=100)
    store.put(NS, "ever", {"v": 1}, ttl=None)
    stage.minutes_pass(store, 11)
    sweep(store)
    same(sorted(keys(store.search(NS))), ["ever", "own"], "items after 11 minutes")


@rule("L45", when="ttl")
def putting_prolongs(stage: Stage) -> None:
    """A put of an existing key begins the time anew, with its own ttl or without an end."""
    store = stage.timed()
    for key in ("again", "ever"):
        store.put(NS, key, {"v": 1}, ttl=10)
    stage.minutes_pass(store, 6)
    store.put(NS, "again", {"v": 2}, ttl=10)
    store.put(NS, "ever", {"v": 2})
    stage.minutes_pass(store, 6)
    sweep(store)
    same(need(store.get(NS, "again", refresh_ttl=False), "the item put again").value, {"v": 2}, "its value")
    stage.minutes_pass(store, 1000)
    sweep(store)
    same(keys(store.search(NS)), ["ever"], "items after a long time")


@rule("L46", when="ttl")
def omitted_at_once(stage: Stage) -> None:
    """With `omit_expired` nothing that expired is read or listed, also before it is swept."""
    store = stage.timed(omit_expired=True)
    store.put(NS, "k", {"v": 1}, ttl=10)
    stage.minutes_pass(store, 11)
    same(store.get(NS, "k"), None, "get of an expired item")
    same(store.search(NS), [], "search for expired items")
    same(store.list_namespaces(), [], "namespaces that hold only expired items")
