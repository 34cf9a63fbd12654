"""Does a gist with a vector memory show more of what answers than the last turns, or the gist alone, in one budget?

A conversation of about a thousand turns is remembered, then its questions are asked. A question counts as served when
the prompt holds a sentence of its evidence that says the answer. `forgetting` lives through the same conversation with
some facts asked about again and again, and much pruned: these should stay, and what goes should be old idle talk.
"""

from __future__ import annotations

from collections.abc import Sequence

from remanence.core.card import Evidence
from remanence.core.scope import Scope
from remanence.kernels.packing import estimate_tokens
from remanence.kernels.summaries import sentences
from remanence.mechanisms.records.hema import Hema
from remanence.scenarios.dialogues import Dialogue, Hardness, Question, Turn, generate
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Item

SESSIONS = 40
PROMPT = 3500
K = 300
"""More than fit: of what is retrieved, the budget decides."""
AGAIN = 12
"""Questions that are asked again after every session."""
HARSH = 0.05
"""Share of the index that goes after each period, so that a thousand turns show a difference; the default is 0.005."""


def witness(seed: int) -> Evidence:
    """The share of questions served, beside the better of the last turns and the gist."""
    found = measure(seed)
    return Evidence(f"answers in a prompt of {PROMPT} tokens", found["both"], max(found["last"], found["gist"]))


def measure(seed: int, *, prompt: int = PROMPT, hardness: Hardness = "medium") -> dict[str, float]:
    """Shares of questions served by "last" (as many of the last turns as fit), "gist" (the summaries), "last_short" (as
    many of the last turns as take no more tokens than the gist), "both" (the mechanism), and "vectors" (the turns that
    it retrieves, without gist or tail)."""
    dialogue = generate(seed, sessions=SESSIONS, hardness=hardness)
    hema = _memory(prompt=prompt)
    now = dialogue.turns[-1].at
    hema.write(_items(dialogue.turns), now=now)
    gist = hema.gist(now)
    said = [f"{turn.speaker}: {turn.text}" for turn in dialogue.turns]
    shown = {"last": _fill(said[::-1], prompt), "last_short": _fill(said[::-1], estimate_tokens(gist)), "gist": gist}
    served = dict.fromkeys(("last", "last_short", "gist", "vectors", "both"), 0)
    asked = [(question, marks) for question in dialogue.questions if (marks := _marks(dialogue, question))]
    for question, marks in asked:
        hits = hema.read(question.text, K, now=question.now)
        shown["vectors"] = _fill([hit.text for hit in hits], prompt)
        shown["both"] = hema.context(question.text, K, now=question.now)
        for name, text in shown.items():
            served[name] += any(mark in text for mark in marks)
    return {name: count / len(asked) for name, count in served.items()}


def forgetting(seed: int, *, bonus: str = "recent", fraction: float = HARSH) -> dict[str, float]:
    """Shares at the end: "asked" of the evidence that was among three hits at first, and asked for after every session
    since, that still is (later turns outrank some, pruned or not); "idle" of the turns of the first half that no read
    ever found that are left in the index; "index" of all turns."""
    dialogue = generate(seed, sessions=SESSIONS, hardness="easy")
    hema = _memory(fraction=fraction, bonus=bonus)
    early = {turn.id for turn in dialogue.turns[: len(dialogue.turns) // 4]}
    again = [one for one in dialogue.questions if len(one.gold) == 1 and one.gold[0] in early][:AGAIN]
    sessions: dict[str, list[Turn]] = {}
    for turn in dialogue.turns:
        sessions.setdefault(turn.session, []).append(turn)
    ids: dict[str, str] = {}
    first: dict[str, bool] = {}
    for turns in sessions.values():
        written = hema.write(_items(turns), now=turns[-1].at)
        ids.update(zip((turn.id for turn in turns), written, strict=True))
        for question in again:
            if question.gold[0] in ids:
                hits = hema.read(question.text, 3, now=turns[-1].at)
                first.setdefault(question.id, ids[question.gold[0]] in [hit.id for hit in hits])
    now = dialogue.turns[-1].at
    records = [record for record in hema.get([ids[turn.id] for turn in dialogue.turns]) if record is not None]
    idle = [one for one in records[: len(records) // 2] if not one.hits]
    found = [ids[one.gold[0]] in [hit.id for hit in hema.read(one.text, 3, now=now)] for one in again if first[one.id]]
    return {
        "asked": sum(found) / len(found),
        "idle": sum(one.state != "expired" for one in idle) / len(idle),
        "index": sum(one.state != "expired" for one in records) / len(records),
    }


def _memory(*, prompt: int = PROMPT, fraction: float = 0.005, bonus: str = "recent") -> Hema:
    return Hema(
        scope=Scope(user_id="witness"), embedder=StaticEmbedder(), prompt=prompt, fraction=fraction, bonus=bonus
    )


def _items(turns: Sequence[Turn]) -> list[Item]:
    return [Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session) for turn in turns]


def _marks(dialogue: Dialogue, question: Question) -> list[str]:
    """The sentences of a question's evidence that say its answer."""
    texts = [turn.text for turn in dialogue.turns if turn.id in question.gold]
    return [text[a:b] for text in texts for a, b in sentences(text) if question.answer in text[a:b]]


def _fill(texts: Sequence[str], tokens: int) -> str:
    """The first of some texts that fit together."""
    lines: list[str] = []
    for text in texts:
        tokens -= estimate_tokens(text)
        if tokens < 0:
            break
        lines.append(text)
    return "\n".join(lines)
