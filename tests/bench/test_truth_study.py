from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remanence.bench.studies import truth, truth_preferences
from remanence.bench.studies.truth_dialogues import Answers, Tally, auroc, tell
from remanence.bench.studies.truth_preferences import Preference
from remanence.core.errors import ImportFormatError, NotFound
from remanence.scenarios.model import Probe, Question

NOW = datetime(2024, 5, 1, tzinfo=UTC)
QUESTION = Question(
    "q0", "Where does Ana live?", "Rome", ("t3", "t5"), "update", None, NOW, ("t1",),
    Probe(("Ana",), "home_city", "now"),
)  # fmt: skip
LIKED = {
    "memory_points": [{"type": "like", "specific_item": "Dogs, especially Labradors.", "reason": "They are loyal."}]
}
LOVED = {"memory_points": [{"type": "like", "specific_item": "BBQ ribs", "reason": "Smoke."}]}


def event(direction: str, before: object, after: object) -> dict[str, object]:
    return {
        "type_to_update": "Pet Preference",
        "update_direction": direction,
        "update_reason": "I have been thinking.",
        "before_preference": before,
        "after_preference": after,
    }


def halumem(folder: Path, *rows: object) -> Path:
    (folder / truth_preferences.FOLDER).mkdir()
    file = folder / truth_preferences.FOLDER / truth_preferences.FILE
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("turns", "text", "first", "says", "found", "misled"),
    [
        (["t3", "t1"], "Ana is in Rome", 1, 1, 1, 0),
        (["t5"], "She loves it", 1, 0, 1, 0),
        (["t1", "t3"], "Oslo", 0, 0, 1, 1),
        (["t9", "t5", "t1"], "Romeo", 0, 0, 1, 0),
        (["t9", "t1"], "Rome", 0, 1, 0, 1),
        ([], "", 0, 0, 0, 0),
    ],
)
def test_how_a_ranking_counts(turns: list[str], text: str, first: int, says: int, found: int, misled: int) -> None:
    answers = Answers()
    answers.note(QUESTION, turns, text, 0.7)
    assert (answers.first, answers.says, answers.found, answers.misled) == (first, says, found, misled)
    assert answers.figures()["answerable"] == pytest.approx(0.7)


def test_auroc_is_the_chance_that_a_positive_stands_above() -> None:
    assert auroc([0.9, 0.8], [0.1]) == 1.0
    assert auroc([0.1], [0.9]) == 0.0
    assert auroc([0.5, 0.9], [0.5, 0.1]) == pytest.approx(0.875)
    assert auroc([], [0.3]) == 0.5


def test_preference_updates_are_read_and_rendered(tmp_path: Path) -> None:
    data = halumem(tmp_path, {"event_list": [event("Modify", LIKED, LOVED), event("Delete", LOVED, LOVED)]})
    [[update, deletion]] = truth_preferences.load(data)
    assert update.things == "pets"
    assert update.before == Preference("like", "dogs, especially Labradors")
    assert update.after == Preference("like", "BBQ ribs")
    assert deletion.after is None
    assert (update.reason, deletion.reason) == ("Smoke.", "I have been thinking.")
    assert truth_preferences.first_words(update.before) == "I like dogs, especially Labradors."
    assert truth_preferences.new_words(update.before, Preference("like", "BBQ ribs")) == (
        "I used to like dogs, especially Labradors, but now I like BBQ ribs."
    )
    assert truth_preferences.new_words(update.before, update.before) == "I still like dogs, especially Labradors."
    assert truth_preferences.last_words(deletion.before) == "I no longer like BBQ ribs."
    assert truth_preferences.last_words(deletion.before, 3) == "I have stopped liking BBQ ribs."
    words = {truth_preferences.new_words(update.before, deletion.before, form) for form in range(8)}
    assert len(words) == 4


def test_preferences_of_another_shape_or_none_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="halumem_stage"):
        truth_preferences.load(tmp_path)
    with pytest.raises(ImportFormatError, match="preference events"):
        truth_preferences.load(halumem(tmp_path, {"event_list": [{"type_to_update": "Pet Preference"}]}))


def test_a_dialogue_is_told_asked_and_judged() -> None:
    tally = Tally()
    tell(3000, "easy", 3, 2, tally)
    figures = tally.figures()
    assert figures["turns"] > 30
    assert sum(row["questions"] for row in figures["categories"].values()) >= 5
    assert figures["dependents"]["stale"] + figures["dependents"]["sound"] > 3
    assert figures["dependents"]["seen_before"] == 1.0
    assert figures["facts"]["known"] > 5
    assert figures["facts"]["without_span"] == 0
    assert figures["facts"]["current_recall"] > 0.5


def test_without_enrichment_nothing_is_known_but_questions_are_answered() -> None:
    tally = Tally()
    tell(3000, "easy", 2, 2, tally, enrich=False)
    figures = tally.figures()
    assert figures["facts"]["known"] == figures["dependents"]["sound"] == 0
    assert sum(one.found for one in tally.answers.values()) > 0


def test_preferences_are_told_and_asked(tmp_path: Path) -> None:
    data = halumem(tmp_path, {"event_list": [event("Modify", LIKED, LOVED), event("Delete", LOVED, LOVED)]})
    people = truth_preferences.load(data)
    said = truth_preferences.run(people, "plain").figures()
    assert (said["updates"], said["deletions"]) == (1, 1)
    assert truth_preferences.run(people, "varied").figures()["updates"] == 1
    deleted = truth_preferences.run(people, "deleted").figures()
    assert deleted["honoured"] == 1.0
    assert "current" not in deleted


def test_the_command_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = halumem(tmp_path, {"event_list": [event("Modify", LIKED, LOVED)]})
    out = tmp_path / "results" / "truth.json"
    code = truth.main(
        ["--data", str(data), "--seeds", "3000:3001", "--sessions", "2", "--people-count", "2", "--hardness", "easy",
         "--plain", "--out", str(out)]
    )  # fmt: skip
    assert code == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert set(found["figures"]) == {"dialogues", "plain", "preferences"}
    assert found["settings"]["seeds"] == [3000, 3001]
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    assert "current value ranked first" in capsys.readouterr().out
    assert truth.main(["--data", str(tmp_path / "nowhere"), "--seeds", "0:0"]) == 2
    assert "error:" in capsys.readouterr().err
