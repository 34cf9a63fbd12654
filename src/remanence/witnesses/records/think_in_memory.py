"""Is a question over two facts answered alike in whatever words it is asked?

"What is Ana's partner's job?" rests on who Ana's partner is and on what that person does, said in different turns. Each
such question of a conversation is asked in twenty wordings. Both sides read the same number of hits, draw thoughts by
the same rules and read the answer off alike; the baselines reason anew each time, over the turns that BM25, dense
search or their rank fusion find for the wording, the memory concluded when the facts were said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from remanence.core.card import Evidence
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.claims.model import Utterance
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.thoughts import Triple, conclusions, draw, settle
from remanence.mechanisms.records.think_in_memory import ThinkInMemory
from remanence.scenarios.dialogues import Dialogue, Hardness, Question, Turn, generate
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Hit, Item
from remanence.witnesses.records.recall import Baselines

K = 10
WORDINGS = (
    "What is the {attribute} of {name}'s {relation}?",
    "{name}'s {relation}: what {attribute}?",
    "Tell me the {attribute} of the {relation} of {name}.",
    "Do you know which {attribute} the {relation} of {name} has?",
    "I forgot the {attribute} of {name}'s {relation}, what was it?",
    "Remind me of {name}'s {relation} and the {attribute}, please.",
    "About the {relation} that {name} has: which {attribute}?",
    "{attribute} of {name}'s {relation}?",
    "Could you look up the {attribute} for {name}'s {relation}?",
    "For the form I need the {attribute} of {name}'s {relation}.",
    "What did they say about the {attribute} of {name}'s {relation}?",
    "Somebody asked me about {name}'s {relation}. What is the {attribute} there?",
    "The {relation} of {name}, what is the {attribute} by now?",
    "Which {attribute} goes with {name}'s {relation}?",
    "Concerning {name}: the {relation}'s {attribute}?",
    "If I meet {name}'s {relation}, what is the {attribute} to mention?",
    "What do we know of {name}'s {relation}, the {attribute} above all?",
    "Is there anything on the {attribute} of the {relation} of {name}?",
    "Quick question, {name}'s {relation}, {attribute}?",
    "How would you describe the {attribute} of {name}'s {relation}?",
)


def witness(seed: int) -> Evidence:
    """Share of right answers over all questions and wordings, beside the best of the baselines."""
    found = measure(seed)
    baselines = ("without conclusions", "bm25", "dense", "rrf")
    return Evidence("right answers", found["tim"]["right"], max(found[name]["right"] for name in baselines))


def measure(seed: int, *, hardness: Hardness = "medium", k: int = K, sessions: int = 24) -> dict[str, dict[str, float]]:
    """For "tim", "without conclusions" (thoughts are found, and joined anew each time), "bm25", "dense" and "rrf":

    the share of right answers to two-hop questions ("right"), the share of questions that are answered rightly in all
    wordings ("always"), and how often two wordings of a question get one and the same answer, not none ("alike").
    """
    dialogue = generate(seed, hardness=hardness, sessions=sessions)
    embedder = StaticEmbedder()
    baselines = Baselines(dialogue.turns, Analyzer(), embedder)
    memories = {
        "tim": _remembered(ThinkInMemory(embedder=embedder), dialogue),
        "bare": _remembered(ThinkInMemory(embedder=embedder, conclude=False), dialogue),
    }
    answers: dict[str, list[list[bool]]] = {}
    given: dict[str, list[list[str]]] = {}
    for question in dialogue.questions:
        if question.category != "multi_hop" or len(question.probe.path) != 2:
            continue
        of_question: dict[str, list[str]] = {}
        for wording in wordings(question):
            hits = {of: one.read(wording, k, now=question.now) for of, one in memories.items()}
            said = {"tim": _stored(hits["tim"], question), "without conclusions": _drawn(hits["bare"], question)}
            for name, rows in baselines.rank(wording):
                said[name] = _reasoned([dialogue.turns[row] for row in rows[:k]], question)
            for name, answer in said.items():
                of_question.setdefault(name, []).append(answer)
        for name, texts in of_question.items():
            given.setdefault(name, []).append(texts)
            answers.setdefault(name, []).append([question.answer.casefold() in text.casefold() for text in texts])
    return {
        name: {
            "right": float(np.mean(right)),
            "always": float(np.mean([all(one) for one in right])),
            "alike": float(np.mean([_alike(texts) for texts in given[name]])),
        }
        for name, right in answers.items()
    }


def _alike(texts: Sequence[str]) -> float:
    """How often two of these answers are one and the same, and not none."""
    counts = Counter(text for text in texts if text)
    return sum(count * (count - 1) for count in counts.values()) / (len(texts) * (len(texts) - 1))


def wordings(question: Question) -> list[str]:
    """A two-hop question in twenty wordings."""
    name, relation = question.probe.path
    label = attribute(question.probe.attribute).label
    return [one.format(name=name, relation=relation, attribute=label) for one in WORDINGS]


def _stored(hits: Sequence[Hit], question: Question) -> str:
    """The first hit that says it; "" if none does."""
    return _read([(hit.text, str(hit.record.meta.get("found_by")) if hit.record else "") for hit in hits], question)


def _drawn(hits: Sequence[Hit], question: Question) -> str:
    """What follows from the triples of these hits."""
    triples = []
    for hit in hits:
        if hit.record is not None and "triple" in hit.record.meta:
            meta = hit.record.meta
            head, relation, tail = meta["triple"]
            triples.append(Triple(hit.id, head, relation, tail, hit.record.event_at, meta["denied"], meta["old"]))
    return _concluded(triples, question)


def _reasoned(turns: Sequence[Turn], question: Question) -> str:
    """What follows from these turns."""
    return _concluded(
        [
            Triple(f"{turn.id}-{number}", one.head, one.relation, one.tail, turn.at, one.denied, one.old)
            for turn in sorted(turns, key=lambda one: one.at)
            for number, one in enumerate(draw(Utterance(turn.id, turn.text, turn.at, turn.speaker)))
        ],
        question,
    )


def _concluded(triples: Sequence[Triple], question: Question) -> str:
    """The answer that follows from triples; "" if none does."""
    standing = set(settle(triples).stand)
    found = conclusions([one for one in triples if one.id in standing])
    return _read([(one.text, f"({attribute(one.relation).label})") for one in found], question)


def _read(thoughts: Sequence[tuple[str, str]], question: Question) -> str:
    name, relation = question.probe.path
    ending = f"({attribute(question.probe.attribute).label})"
    begin = f"{name}'s {attribute(relation).label} "
    return next((text for text, key in thoughts if text.startswith(begin) and key.endswith(ending)), "")


def _remembered(memory: ThinkInMemory, dialogue: Dialogue) -> ThinkInMemory:
    sessions: dict[str, list[Turn]] = {}
    for turn in dialogue.turns:
        sessions.setdefault(turn.session, []).append(turn)
    for turns in sessions.values():
        items = [Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session) for turn in turns]
        memory.write(items, now=turns[-1].at)
    return memory
