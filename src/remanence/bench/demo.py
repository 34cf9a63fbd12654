"""`remanence demo`: months of conversation remembered, asked about, corrected and erased, on one screen after another.

The conversation is generated, so every answer and the turns that prove it are known, and every line of evidence is
marked against them. Nothing is picked by its outcome: one question of each kind is shown, the first that the generator
made, and the figures at the end are over all of its questions.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from remanence.bench import baselines, datasets
from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidInput
from remanence.runtime.memory import Memory
from remanence.scenarios.dialogues import CATEGORIES, Dialogue, Question, Turn, generate
from remanence.stores.embedders.static import StaticEmbedder

SESSIONS = 24
"""As many as the conversations of LoCoMo have, with about as many turns."""
DEPTH = 10
"""Places in which evidence counts as found: what `search` returns if nothing else is asked."""
OWNER = "friends"

_SURE = 0.5
_DAY = timedelta(days=1)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the turns that came back for it, best first, and what that took."""

    question: Question
    turns: tuple[Turn, ...]
    scores: tuple[float, ...]
    answerable: float
    ms: float

    @property
    def ranks(self) -> dict[str, int]:
        """Rank, from 1, of each piece of evidence that came back."""
        return {turn.id: rank for rank, turn in enumerate(self.turns, 1) if turn.id in self.question.gold}

    @property
    def right(self) -> bool:
        """Whether all evidence came back; where there is none, whether the memory said so."""
        gold = self.question.gold
        return len(self.ranks) == len(gold) if gold else self.answerable < _SURE


def run(console: Console, *, seed: int = 7, path: Path | None = None, sessions: int = SESSIONS) -> dict[str, Any]:
    """Play the demo on a console and return its figures, so that they can be checked.

    `path` is the store's file, which must not be there yet; without it the store lives in a temporary folder.

    Raises `InvalidInput` when `path` exists, or when the conversation is too short to show everything.
    """
    if path is not None and path.exists():
        raise InvalidInput(f"{path} is there already; the demo makes a store of its own, name a new file")
    with tempfile.TemporaryDirectory() as folder:
        return _Stage(console, path or Path(folder) / "remanence.db", generate(seed, sessions=sessions)).play()


class _Stage:
    """One performance: its acts share the conversation, the file and the figures."""

    def __init__(self, console: Console, path: Path, dialogue: Dialogue) -> None:
        self.console = console
        self.path = path
        self.dialogue = dialogue
        self.by_id = {turn.id: turn for turn in dialogue.turns}
        self.figures: dict[str, Any] = {"seed": dialogue.seed, "turns": len(dialogue.turns)}
        # The story has its own calendar: it is asked on the day after the last turn.
        self.today = dialogue.turns[-1].at + _DAY
        self.clock = SteppingClock(self.today)
        self.memory = self._open()
        self.turn_of: dict[str, str] = {}
        self.memory_of: dict[str, str] = {}

    def play(self) -> dict[str, Any]:
        """All acts in order."""
        started = time.perf_counter()
        try:
            self._title()
            self._remember()
            asked = self._ask()
            changed, value, erased = self._choose(asked)
            self._change(changed, value)
            self._hand_over(changed)
            self._erase(erased)
        finally:
            self.memory.close()
        self.figures["seconds"] = time.perf_counter() - started
        self._summary()
        return self.figures

    def _choose(self, asked: Sequence[Asked]) -> tuple[Asked, str, Asked]:
        """Something that was found, best first, to change, what to change it to, and something else to erase."""
        found = [one for one in asked if one.question.category == "single" and len(one.ranks) == 1]
        found = sorted((one for one in found if len(one.question.gold) == 1), key=lambda one: min(one.ranks.values()))
        for one in found:
            about = one.question.probe.attribute
            values = [fact.value for fact in self.dialogue.facts if fact.attribute == about]
            values = [value for value in values if value != one.question.answer]
            others = [other for other in found if other.question.probe.attribute != about]
            if values and others:
                return one, values[0], others[0]
        raise InvalidInput(f"seed {self.dialogue.seed}: too little was found to go on with; take another seed")

    def _open(self) -> Memory:
        return Memory(self.path, user_id=OWNER, clock=self.clock, background=False)

    def _act(self, title: str, text: str) -> None:
        self.console.print()
        self.console.rule(Text(title, "bold cyan"), style="cyan", align="left")
        self.console.print(Text(text, "dim"))
        self.console.print()

    def _title(self) -> None:
        turns = self.dialogue.turns
        listed = ", ".join(self.dialogue.people[:-1]) + f" and {self.dialogue.people[-1]}"
        days = (turns[-1].at - turns[0].at).days
        sessions = len({turn.session for turn in turns})
        about = Text.assemble(
            ("Remanence", "bold"), "  ·  what stays when the field is gone\n",
            f"{listed} talk: {len(turns):,} turns in {sessions} sessions over {days} days,\n"
            f"about themselves and {len(self.dialogue.others)} others. They change their minds, misspeak, contradict "
            "themselves.\n",
            (f"No model, server or network. Generated with seed {self.dialogue.seed}: every answer is known.", "dim"),
        )  # fmt: skip
        self.console.print(Panel(about, border_style="cyan", padding=(1, 3)))

    # Act one

    def _remember(self) -> None:
        turns = self.dialogue.turns
        self._act("1  Remember", "Every word is kept, in one file, as it was said.")
        middle = len(turns) // 2
        for turn in turns[middle : middle + 4]:
            self._line("  ", turn, "dim")
        self.console.print(Text("  …", "dim"))
        items = [
            {"name": turn.speaker, "content": turn.text, "timestamp": turn.at, "session_id": turn.session}
            for turn in turns
        ]
        # The tables of the embedder and the stemmer are read once per process, whatever is stored.
        StaticEmbedder().embed(["warm"])
        started = time.perf_counter()
        ids = self.memory.add_many(items)["ids"]
        seconds = time.perf_counter() - started
        self.turn_of = {id: turn.id for id, turn in zip(ids, turns, strict=True) if id is not None}
        self.memory_of = {turn: id for id, turn in self.turn_of.items()}
        self.memory.close()
        size = sum(self._sizes().values())
        self.memory = self._open()
        self.figures |= {"add_seconds": seconds, "add_per_second": len(turns) / seconds, "file_bytes": size}
        self.console.print(
            f"  {len(turns):,} turns stored, indexed and on disk in [bold]{seconds:.2f} s[/] "
            f"({len(turns) / seconds:,.0f} per second); the file has {size / 1e6:.1f} MB."
        )
        started = time.perf_counter()
        self.memory.search("hello")
        ms = (time.perf_counter() - started) * 1000
        self.figures["reopen_ms"] = ms
        self.console.print(f"  Closed, opened again, first answer after [bold]{ms:.0f} ms[/].")
        started = time.perf_counter()
        self.memory.work()
        seconds = time.perf_counter() - started
        facts = len(self.memory.timeline(limit=10_000)["results"])
        self.figures |= {"facts": facts, "work_seconds": seconds}
        self.console.print(
            f"  {facts:,} facts worked out of it in [bold]{seconds:.1f} s[/], by rules, each with its words and time."
        )

    # Act two

    def _ask(self) -> list[Asked]:
        self._act(
            "2  Ask",
            "One question of each kind. ✓ is evidence that came back, · what came before it, ✗ what was missed.\n"
            "The number before a line is the probability that it answers.",
        )
        asked = [self._search(question) for question in self.dialogue.questions]
        firsts = {one.question.category: one for one in reversed(asked)}
        shown = [firsts[category] for category in CATEGORIES if category in firsts]
        for one in shown:
            self._show(one)
        self.figures |= _figures(asked) | {"shown": len(shown), "shown_right": sum(one.right for one in shown)}
        self.figures["baselines"] = _baselines(self.dialogue)
        return asked

    def _search(self, question: Question) -> Asked:
        answer = self.memory.search(question.text, limit=DEPTH, as_of=question.as_of)
        found = [hit for hit in answer["results"] if hit["id"] in self.turn_of]
        return Asked(
            question,
            tuple(self.by_id[self.turn_of[hit["id"]]] for hit in found),
            tuple(hit["score"] for hit in found),
            answer["answerable"],
            answer["usage"]["ms"],
        )

    def _show(self, one: Asked) -> None:
        question, ranks = one.question, one.ranks
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(width=13, style="dim")
        grid.add_column(ratio=1, style="bold")
        grid.add_column(justify="right")
        grid.add_column(justify="right", style="dim")
        kind = question.category.replace("_", " ")
        grid.add_row(kind, question.text, Text(*_verdict(one)), f"{one.ms:.1f} ms")
        self.console.print(grid)
        if not question.gold:
            self.console.print(
                Text(f"               never said; chance that anything here answers: {one.answerable:.2f}", "dim")
            )
        wanted = set(question.gold)
        for rank, (turn, score) in enumerate(zip(one.turns, one.scores, strict=True), 1):
            if turn.id in wanted:
                self._line(f"  ✓ {score:.2f}", turn, "green", question.answer)
            elif rank == 1:
                self._line(f"  · {score:.2f}", turn, "dim")
        for missed in question.gold:
            if missed not in ranks:
                self._line("  ✗     ", self.by_id[missed], "red", question.answer)
        self.console.print()

    def _line(self, mark: str, turn: Turn, style: str, highlight: str = "") -> None:
        text = Text(f"{mark}  ", style)
        text.append(f"{turn.at:%-d %b}  ".rjust(8), "dim")
        text.append(f"{turn.speaker}: ", "cyan")
        body = Text(turn.text, "" if style != "dim" else "dim")
        if highlight:
            body.highlight_words([highlight], "bold yellow", case_sensitive=False)
        self.console.print(text + body, overflow="ellipsis", no_wrap=True)

    # Act three

    def _change(self, one: Asked, value: str) -> None:
        self._act("3  Change", "update() closes what was true and opens what is. Nothing is overwritten.")
        question = one.question
        turn = self.by_id[question.gold[0]]
        told = self.today - _DAY
        id = self.memory_of[turn.id]
        changed = self.memory.update(id, turn.text.replace(question.answer, value), timestamp=told)
        self.memory.work()
        now = self._find(question.text, id)
        kept = self.memory.get(id, as_of=turn.at + _DAY)
        past = "" if kept is None else kept["memory"]
        rows = self.memory.history(id)
        self.memory.undo(changed)
        self.memory.work()
        undone = self._find(question.text, id)
        for label, said, answer in (
            (question.text, now, value),
            (f"… what it said as of {turn.at + _DAY:%-d %B %Y}", past, question.answer),
            ("… and after undo()?", undone, question.answer),
        ):
            body = Text(said)
            body.highlight_words([answer], "bold yellow", case_sensitive=False)
            mark = Text("  ✓ ", "green") if answer in said else Text("  ✗ ", "red")
            self.console.print(mark + Text(label, "bold"))
            self.console.print(Text("    ") + body, overflow="ellipsis", no_wrap=True)
        self.console.print()
        for row in rows:
            end = row["valid_to"]
            until = "still" if end is None else f"until {_day(end)}"
            self.console.print(
                Text(
                    f"    version {row['version']}  {row['event']:<7} true from {_day(row['valid_from'])}, {until}",
                    "dim",
                )
            )
        self.figures |= {
            "update_seen": value in now, "past_kept": question.answer in past, "undone": question.answer in undone,
            "versions": len(rows),
        }  # fmt: skip

    def _find(self, query: str, id: str) -> str:
        """What a memory says where a search finds it; nothing if it does not."""
        hits = self.memory.search(query, limit=DEPTH)["results"]
        return next((hit["memory"] for hit in hits if hit["id"] == id), "")

    # Act four

    def _hand_over(self, one: Asked) -> None:
        self._act("4  Hand over", "What a language model is given: a fenced block within a budget, with citations.")
        block = self.memory.context(one.question.text, max_tokens=200, limit=4)
        self.console.print(Text.assemble(("  " + one.question.text, "bold"), (f"   {block.tokens} tokens", "dim")))
        for line in block.text.splitlines():
            self.console.print(Text("  " + line, "dim"), overflow="ellipsis", no_wrap=True)
        self.figures["context_tokens"] = block.tokens

    # Act five

    def _erase(self, one: Asked) -> None:
        self._act("5  Forget", "erase() destroys text, history, vectors, index and journal. Anybody can check.")
        question = one.question
        texts = [self.by_id[turn].text for turn in question.gold]
        before = self._occurrences(texts)
        receipt = self.memory.erase([self.memory_of[turn] for turn in question.gold], reason="asked to")
        report = self.memory.verify_erasure(receipt, phrases=[*texts, question.answer])
        after = self._occurrences(texts)
        self.memory.work()
        searched = sum(report["files"].values())
        again = self._search(question)
        for text in texts:
            self.console.print(Text.assemble("    erased  ", (text, "red strike")), overflow="ellipsis", no_wrap=True)
        for name, size in report["files"].items():
            self.console.print(Text(f"    searched {size:>9,} bytes of {name}", "dim"))
        self.console.print(f"    in these files before: {before}, after: [bold]{after}[/]")
        mark = Text("  ✓ verified", "bold green") if report["clean"] else Text("  ✗ not clean", "bold red")
        asked = (
            f": {report['ids']} id and {report['phrases']} phrases looked for in every encoding, whole and in pieces"
        )
        self.console.print(mark + Text(asked, "default not bold"))
        gone = ", ".join(f"{name} {count}" for name, count in receipt["counts"].items() if count)
        self.console.print(Text(f"    receipt {receipt['id']}: {gone}", "dim"))
        self.console.print()
        mark = Text("  ✗ ", "red") if again.ranks else Text("  ✓ ", "green")
        self.console.print(
            mark + Text.assemble((question.text, "bold"), ("   asked again; best of what is left:", "dim"))
        )
        if again.turns:
            self._line(f"  · {again.scores[0]:.2f}", again.turns[0], "dim")
        self.figures |= {
            "erased": len(receipt["ids"]), "occurrences_before": before, "occurrences_after": after,
            "erase_verified": report["clean"], "bytes_searched": searched, "found_after_erasure": bool(again.ranks),
        }  # fmt: skip

    def _occurrences(self, texts: Sequence[str]) -> int:
        """How often the texts stand in the store's files, found the plain way."""
        contents = [self.path.with_name(name).read_bytes() for name in self._sizes()]
        return sum(content.count(text.encode()) for content in contents for text in texts)

    def _sizes(self) -> dict[str, int]:
        files = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm")]
        return {file.name: file.stat().st_size for file in files if file.exists()}

    # The end

    def _summary(self) -> None:
        figures = self.figures
        self._act("In figures", f"Over all {figures['questions']} questions that the generator made.")
        table = Table(box=None, pad_edge=True, header_style="dim")
        table.add_column("evidence")
        for head in ("in first place", f"any in the first {DEPTH}", f"recall@{DEPTH}"):
            table.add_column(head, justify="right")
        table.add_row("Remanence", *_cells(figures), style="bold green")
        for name, one in figures["baselines"].items():
            table.add_row(name, *_cells(one))
        self.console.print(table)
        self.console.print(Text("  The rules that read facts know these phrases; free talk they read in part.", "dim"))
        self.console.print()
        p50, p95 = figures["search_ms_p50"], figures["search_ms_p95"]
        each = figures["file_bytes"] / figures["turns"]
        unsaid, said = figures["unanswerable"], figures["answerable"]
        verified = "verified" if figures["erase_verified"] else "NOT CLEAN"
        lines = {
            "search": f"{p50:.1f} ms median, {p95:.1f} ms at the 95th percentile",
            "storing": f"{figures['add_per_second']:,.0f} turns per second, {each:,.0f} bytes each on disk",
            "never said": f"{figures['abstained']} of {unsaid} noticed; {figures['doubted']} of {said} others doubted",
            "erasure": f"{verified}, {figures['bytes_searched']:,} bytes searched",
            "all of it": f"{figures['seconds']:.1f} s",
        }
        for label, value in lines.items():
            self.console.print(Text.assemble((f"  {label:<12}", "cyan"), value))
        self.console.print()


def _verdict(one: Asked) -> tuple[str, str]:
    if not one.question.gold:
        return ("✓ nothing answers this", "green") if one.right else ("✗ not recognised", "red")
    if not one.ranks:
        return "✗ missed", "red"
    if len(one.question.gold) > 1:
        found = f"{len(one.ranks)} of {len(one.question.gold)} found"
        return (f"✓ {found}", "green") if len(one.ranks) == len(one.question.gold) else (f"± {found}", "yellow")
    return f"✓ {_ORDINALS[min(one.ranks.values()) - 1]}", "green"


def _figures(asked: Sequence[Asked]) -> dict[str, Any]:
    answerable = [one for one in asked if one.question.gold]
    others = [one for one in asked if not one.question.gold]
    times = [one.ms for one in asked]
    return {
        "questions": len(asked),
        "answerable": len(answerable),
        "unanswerable": len(others),
        "abstained": sum(one.answerable < _SURE for one in others),
        "doubted": sum(one.answerable < _SURE for one in answerable),
        "search_ms_p50": float(np.percentile(times, 50)),
        "search_ms_p95": float(np.percentile(times, 95)),
        **_shares([[turn.id for turn in one.turns] for one in answerable], [one.question.gold for one in answerable]),
    }


def _shares(rankings: Sequence[Sequence[str]], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """First places, questions with any evidence found, and recall, as shares."""
    rows = [
        (
            bool(ranked) and ranked[0] in gold,
            not set(gold).isdisjoint(ranked),
            len(set(gold).intersection(ranked)) / len(gold),
        )
        for ranked, gold in zip(rankings, golds, strict=True)
    ]
    first, found, recall = np.array(rows, dtype=np.float64).mean(axis=0).tolist()
    return {"first": first, "found": found, "recall": recall}


def _baselines(dialogue: Dialogue) -> dict[str, dict[str, float]]:
    """The same questions to the baselines of the benchmark."""
    corpus = datasets.Corpus(
        OWNER,
        tuple(
            datasets.Document(turn.id, turn.text, speaker=turn.speaker, session=turn.session, event_at=turn.at)
            for turn in dialogue.turns
        ),
    )
    asked = [question for question in dialogue.questions if question.gold]
    found = {}
    for name, make in baselines.baselines(StaticEmbedder).items():
        ranker = make()
        ranker.build(corpus)
        rankings = [
            ranker.rank(datasets.Question(one.id, OWNER, one.text, frozenset(one.gold), one.category), DEPTH)
            for one in asked
        ]
        found[name] = _shares(rankings, [one.gold for one in asked])
    return found


def _cells(shares: Mapping[str, float]) -> tuple[str, str, str]:
    return f"{shares['first']:.0%}", f"{shares['found']:.0%}", f"{shares['recall']:.2f}"


def _day(stamp: str | None) -> str:
    return "" if stamp is None else f"{datetime.fromisoformat(stamp):%-d %b %Y}"
