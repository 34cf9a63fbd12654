from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.bench import datasets
from remanence.bench.datasets import Dataset, DatasetMissing
from remanence.core.errors import ImportFormatError, InvalidInput, InvalidTime, NotFound


def put(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")


def turn(dia_id: str, text: str, speaker: str = "Ana", **more: str) -> dict[str, str]:
    return {"speaker": speaker, "dia_id": dia_id, "text": text, **more}


def qa(question: str, evidence: list[str], category: int) -> dict[str, Any]:
    return {"question": question, "answer": "x", "evidence": evidence, "category": category}


def chat(sample: str = "conv-1") -> dict[str, Any]:
    return {
        "sample_id": sample,
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Bo",
            "session_10_date_time": "12:19 am on 4 January, 2024",
            "session_10": [turn("D10:1", "tenth")],
            "session_2_date_time": "1:56 pm on 8 May, 2023",
            "session_2": [turn("D2:1", "second", "Bo"), turn("D2:2", "pic", blip_caption="a photo of a dog")],
            # A date without a session: the generator planned it and never wrote it.
            "session_35_date_time": "12:19 am on 4 January, 2030",
        },
        "qa": [
            qa("several in one string", ["D2:1; D10:1"], 1),
            qa("stray colon", ["D:10:1"], 2),
            qa("padding", ["D02:01"], 3),
            qa("one is no turn", ["D2:2", "D2:99", "D"], 4),
            qa("wrong person", ["D2:1"], 5),
            qa("nothing usable", ["D", "D9:9"], 4),
            qa("no evidence", [], 4),
        ],
    }


@pytest.fixture
def locomo(tmp_path: Path) -> Dataset:
    put(tmp_path / "locomo" / "locomo_any.json", [chat()])
    return datasets.load("locomo", tmp_path)


def test_every_data_set_of_the_package_is_found_without_a_list() -> None:
    assert datasets.names(generated=False) == (
        "2wiki", "beam", "cranfield", "hotpot", "locomo", "longmemeval", "memdaily", "musique", "realtalk"
    )  # fmt: skip
    assert datasets.names(generated=True) == ("dialogues", "ep_bench")
    assert datasets.names() == tuple(sorted(datasets.names(generated=False) + datasets.names(generated=True)))


@pytest.mark.parametrize("name", datasets.names(generated=True))
def test_generated_sets_need_no_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMANENCE_BENCH_DATA", raising=False)
    data = datasets.load(name)
    assert data.fingerprint() == datasets.load(name).fingerprint()
    known = {corpus.id: {document.id for document in corpus.documents} for corpus in data.corpora}
    assert all(question.gold <= known[question.corpus] for question in data.questions)
    assert all(bool(question.gold) == question.answerable for question in data.questions)
    assert 0.1 < np.mean([question.answerable for question in data.questions]) < 1
    assert len(data.corpora) >= 3
    assert len(data.questions) > 100


def test_locomo_turns_stand_in_the_order_of_their_sessions(locomo: Dataset) -> None:
    documents = locomo.corpora[0].documents
    assert [document.id for document in documents] == ["D2:1", "D2:2", "D10:1"]
    assert [document.session for document in documents] == ["session_2", "session_2", "session_10"]
    assert documents[0].event_at == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert documents[2].event_at == datetime(2024, 1, 4, 0, 19, tzinfo=UTC)
    assert (documents[0].speaker, documents[1].caption) == ("Bo", "a photo of a dog")


def test_locomo_evidence_is_repaired_or_dropped(locomo: Dataset) -> None:
    gold = {question.text: set(question.gold) for question in locomo.questions}
    assert gold == {
        "several in one string": {"D2:1", "D10:1"},
        "stray colon": {"D10:1"},
        "padding": {"D2:1"},
        "one is no turn": {"D2:2"},
        "wrong person": {"D2:1"},
    }


def test_locomo_categories_and_the_day_of_asking(locomo: Dataset) -> None:
    assert [question.category for question in locomo.questions] == [
        "multi-hop", "temporal", "open-domain", "single-hop", "adversarial"
    ]  # fmt: skip
    assert [question.answerable for question in locomo.questions] == [True, True, True, True, False]
    assert {question.now for question in locomo.questions} == {datetime(2024, 1, 4, 0, 19, tzinfo=UTC)}


def test_locomo_reads_every_file_and_each_conversation_once(tmp_path: Path) -> None:
    put(tmp_path / "locomo" / "locomo_a.json", [chat("conv-1"), chat("conv-2")])
    put(tmp_path / "locomo" / "locomo_b.json", [chat("conv-2"), chat("conv-3")])
    dataset = datasets.load("locomo", tmp_path)
    assert [corpus.id for corpus in dataset.corpora] == ["conv-1", "conv-2", "conv-3"]
    assert len({question.id for question in dataset.questions}) == len(dataset.questions) == 15


@pytest.mark.parametrize("place", ["locomo", "."])
def test_the_folder_or_the_file_itself_may_be_named(tmp_path: Path, place: str) -> None:
    put(tmp_path / place / "locomo_b.json", [chat()])
    by_folder = datasets.load("locomo", tmp_path)
    assert datasets.load("locomo", str(tmp_path / place / "locomo_b.json")) == by_folder


def test_realtalk_ranges_dates_and_photo_only_messages(tmp_path: Path) -> None:
    turns = [
        {"clean_text": f"m{n}", "speaker": "Ana", "date_time": f"29.12.2023, 00:51:{n:02}", "dia_id": f"D12:{n}"}
        for n in (1, 2, 3, 5)
    ]
    later = [{"clean_text": "bye", "speaker": "Bo", "date_time": "02.01.2024, 20:00:00", "dia_id": "D13:1"}]
    rows = [
        qa("range", ["D12:1-D12:3"], 1),
        qa("range over a missing message", ["D12:3-D12:5;D13:1"], 1),
        qa("across sessions", ["D12:5-D13:1"], 1),
        qa("no D", ["12:2"], 2),
        qa("a space", ["D 13:1."], 3),
        qa("joined", ["D12:1:D13:1"], 3),
        qa("photo only", ["D12:4"], 1),
        qa("empty", [""], 3),
    ]
    put(tmp_path / "realtalk" / "Chat_2_Ana_Bo.json", {"events_session_1": {}, "session_13": later, "session_12": turns,
                                                       "session_12_date_time": "x", "qa": rows})  # fmt: skip
    dataset = datasets.load("realtalk", tmp_path)
    assert {question.text: set(question.gold) for question in dataset.questions} == {
        "range": {"D12:1", "D12:2", "D12:3"},
        "range over a missing message": {"D12:3", "D12:5", "D13:1"},
        "across sessions": {"D12:5", "D13:1"},
        "no D": {"D12:2"},
        "a space": {"D13:1"},
        "joined": {"D12:1", "D13:1"},
    }
    assert dataset.corpora[0].documents[1].event_at == datetime(2023, 12, 29, 0, 51, 2, tzinfo=UTC)
    assert dataset.corpora[0].documents[-1].id == "D13:1"


def memory_question(identity: str, kind: str, sessions: list[tuple[str, list[tuple[str, str]]]]) -> dict[str, Any]:
    evidence = [
        {"date": date, "turns": [{"role": role, "content": content} for role, content in turns]}
        for date, turns in sessions
    ]
    return {
        "question_id": identity,
        "question_type": kind,
        "abstention": identity.endswith("_abs"),
        "question": f"about {identity}",
        "answer": "x",
        "question_date": None if not sessions else "2023/12/01 (Fri) 10:00",
        "gold_session_ids": [],
        "evidence_sessions": evidence,
    }


@pytest.fixture
def longmemeval(tmp_path: Path) -> Dataset:
    rows = [
        # The versions stand in the wrong order on purpose.
        memory_question(
            "update",
            "knowledge-update",
            [("2023/11/30 (Thu) 20:25", [("user", "now 25"), ("user", "so 25")]),
             ("2023/08/11 (Fri) 20:17", [("user", "17 cards")])],
        ),
        memory_question("single", "single-session-user", [("2023/08/11 (Fri) 05:59", [("user", "line\u2028end")])]),
        memory_question("one-version", "knowledge-update", [("2023/05/26 (Fri) 13:13", [("user", "once")])]),
        memory_question("twice_abs", "multi-session", [("2023/09/09 (Sat) 01:00", [("user", "17 cards")])]),
        memory_question("empty_abs", "knowledge-update", []),
    ]  # fmt: skip
    haystack = {
        "haystack_session_ids": ["h1", "h2"],
        "haystack_dates": ["2023/08/11 (Fri) 00:01", "2023/07/01 (Sat) 08:00"],
        "haystack_sessions": [
            [{"role": "user", "content": "hello"}, {"role": "user", "content": "line\u2028end", "has_answer": True},
             {"role": "assistant", "content": "once"}],
            [{"role": "user", "content": "chatter"}],
        ],
        "questions": ["gold only by session"],
    }  # fmt: skip
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    put(tmp_path / "longmemeval" / "evidence_any.jsonl", lines + "\n")
    put(tmp_path / "longmemeval" / "haystack_any.json", [haystack])
    return datasets.load("longmemeval", tmp_path)


def test_longmemeval_pools_evidence_and_haystack_in_order_of_time(longmemeval: Dataset) -> None:
    documents = longmemeval.corpora[0].documents
    assert [document.text for document in documents] == [
        "once", "chatter", "hello", "line\u2028end", "once", "17 cards", "now 25", "so 25"
    ]  # fmt: skip
    assert [document.role for document in documents if document.text == "once"] == ["user", "assistant"]
    assert longmemeval.title == "LongMemEval evidence, pooled"


def test_longmemeval_keeps_one_copy_of_a_turn_that_two_sources_share(longmemeval: Dataset) -> None:
    by_id = {document.id: document for document in longmemeval.corpora[0].documents}
    questions = {question.id: question for question in longmemeval.questions}
    (shared,) = questions["single"].gold
    assert by_id[shared].session == "h1"
    assert by_id[shared].event_at == datetime(2023, 8, 11, 0, 1, tzinfo=UTC)
    (near_miss,) = questions["twice_abs"].gold
    assert near_miss in questions["update"].gold


def test_longmemeval_updates_name_the_newest_and_the_older_versions(longmemeval: Dataset) -> None:
    text = {document.id: document.text for document in longmemeval.corpora[0].documents}
    questions = {question.id: question for question in longmemeval.questions}
    update = questions["update"]
    assert update.newest is not None
    assert text[update.newest] == "so 25"
    # The other turn of the newest session is evidence, not a superseded version.
    assert {text[identity] for identity in update.older} == {"17 cards"}
    assert questions["one-version"].newest is None


def test_longmemeval_abstention_is_a_category_of_its_own(longmemeval: Dataset) -> None:
    apart = [question for question in longmemeval.questions if question.category == "abstention"]
    assert [(question.id, question.answerable, len(question.gold)) for question in apart] == [
        ("twice_abs", False, 1), ("empty_abs", False, 0)
    ]  # fmt: skip
    assert apart[1].now is None


@pytest.fixture
def beam(tmp_path: Path) -> Dataset:
    def message(number: int, role: str, content: str, **more: object) -> dict[str, object]:
        return {"role": role, "id": number, "content": content, **more}

    batches = [
        {"batch_number": 1, "time_anchor": None, "turns": [
            [message(0, "user", "plan ->-> 1,1", time_anchor="March-15-2024"),
             message(1, "assistant", "ok? ->->  3,8")],
            [message(2, "user", "a -> b ->-> 2,N/A"), message(3, "assistant", "kept ->-> as it is")]]},
        {"batch_number": 2, "time_anchor": None, "turns": [
            [message(4, "user", "July 13 ->-> 5,14)", time_anchor="April-05-2024")]]},
    ]  # fmt: skip
    probes = {
        "abstention": [{"question": "never said"}],
        "summarization": [{"question": "list", "source_chat_ids": [0, [1], 99]}],
        "temporal_reasoning": [{"question": "dict", "source_chat_ids": {"first_event": [2], "second_event": [0]}}],
        "knowledge_update": [
            {"question": "two versions", "source_chat_ids": {"original_info": [0, 2], "updated_info": [2, 4]}},
            {"question": "one message", "source_chat_ids": {"original_info": [4], "updated_info": [4]}},
        ],
        "event_ordering": [{"question": "nothing there", "source_chat_ids": [77]}],
    }
    for number in ("2", "10"):
        put(tmp_path / "beam" / "100K" / number / "chat.json", batches)
        put(tmp_path / "beam" / "100K" / number / "probing_questions" / "probing_questions.json", probes)
    return datasets.load("beam", tmp_path)


def test_beam_messages_lose_the_generator_s_tail_and_nothing_else(beam: Dataset) -> None:
    assert [corpus.id for corpus in beam.corpora] == ["100K/2", "100K/10"]
    documents = beam.corpora[0].documents
    assert [document.text for document in documents] == ["plan", "ok?", "a -> b", "kept ->-> as it is", "July 13"]
    assert [document.session for document in documents] == ["batch_1"] * 4 + ["batch_2"]
    assert documents[3].event_at == datetime(2024, 3, 15, tzinfo=UTC)


def test_beam_evidence_in_lists_and_dicts(beam: Dataset) -> None:
    questions = {question.text: question for question in beam.questions if question.corpus == "100K/2"}
    assert {text: set(question.gold) for text, question in questions.items()} == {
        "never said": set(),
        "list": {"0", "1"},
        "dict": {"0", "2"},
        "two versions": {"0", "2", "4"},
        "one message": {"4"},
    }
    assert not questions["never said"].answerable
    assert (questions["two versions"].newest, set(questions["two versions"].older)) == ("4", {"0"})
    assert questions["one message"].newest is None
    assert questions["dict"].category == "temporal-reasoning"


def test_memdaily_streams_are_corpora(tmp_path: Path) -> None:
    stream = {
        "tid": 3,
        "message_list": [
            {"mid": 0, "message": "小区叫绿洲家园。", "time": "2024年04月01日 周一 08:45", "place": "深圳"},
            {"mid": 1, "message": "第二", "time": "2024年04月07日 周日 20:00", "place": "深圳"},
        ],
        "question_list": [{"qid": 0, "question": "？", "target_step_id": [1, 0], "time": "2024年04月08日 周一 07:27"}],
    }  # fmt: skip
    put(tmp_path / "memdaily" / "05_post_processing_items.json", [stream])
    put(tmp_path / "memdaily" / "README.md", "not data")
    dataset = datasets.load("memdaily", tmp_path)
    (question,) = dataset.questions
    assert (question.category, question.corpus) == ("post-processing", "05_post_processing_items/3")
    assert question.gold == {"0", "1"}
    assert dataset.corpora[0].documents[1].event_at == datetime(2024, 4, 7, 20, 0, tzinfo=UTC)


def test_2wiki_gold_is_a_position(tmp_path: Path) -> None:
    folder = tmp_path / "hipporag" / "2wikimultihopqa"
    put(folder / "corpus.json", [{"title": "A", "text": "a"}, {"title": "B", "text": "b"}])
    row = {"id": "q", "question_type": "bridge_comparison", "question": "?", "gold_doc_idx": [1]}
    put(folder / "questions_gold_any.json", [row, {**row, "id": "none", "gold_doc_idx": []}])
    dataset = datasets.load("2wiki", tmp_path)
    assert [(question.id, set(question.gold), question.category) for question in dataset.questions] == [
        ("q", {"1"}, "bridge-comparison")
    ]
    assert dataset.corpora[0].documents[1].title == "B"


def test_musique_tells_passages_with_the_same_title_apart(tmp_path: Path) -> None:
    put(
        tmp_path / "hipporag" / "musique_any_corpus.json",
        [{"title": "A", "text": "one"}, {"title": "A", "text": "two"}],
    )
    paragraphs = [
        {"title": "A", "paragraph_text": "two", "is_supporting": True},
        {"title": "A", "paragraph_text": "one", "is_supporting": False},
    ]
    put(tmp_path / "hipporag" / "musique_any.json", [{"id": "3hop1__1_2", "question": "?", "paragraphs": paragraphs}])
    (question,) = datasets.load("musique", tmp_path).questions
    assert question.gold == {"1"}
    assert question.category == "3hop"


def test_musique_refuses_a_corpus_that_lacks_a_supporting_paragraph(tmp_path: Path) -> None:
    put(tmp_path / "hipporag" / "musique_any_corpus.json", [{"title": "A", "text": "one"}])
    paragraphs = [{"title": "A", "paragraph_text": "other", "is_supporting": True}]
    put(tmp_path / "hipporag" / "musique_any.json", [{"id": "2hop__1", "question": "?", "paragraphs": paragraphs}])
    with pytest.raises(ImportFormatError, match="2hop__1"):
        datasets.load("musique", tmp_path)


def test_hotpot_gold_is_titles(tmp_path: Path) -> None:
    put(tmp_path / "hipporag" / "hotpotqa_any_corpus.json", {"A": ["one.", " two."], "B": ["b."]})
    row = {"_id": "q", "type": "bridge", "question": "?", "supporting_facts": [["A", 0], ["A", 1], ["B", 0]]}
    put(tmp_path / "hipporag" / "hotpotqa_any.json", [row])
    put(tmp_path / "hipporag" / "hotpotqa_queries.named_entity_output.tsv", "not read")
    dataset = datasets.load("hotpot", tmp_path)
    assert dataset.questions[0].gold == {"A", "B"}
    assert dataset.corpora[0].documents[0].text == "one. two."


def cranfield_files(folder: Path, judgments: str) -> None:
    first = "<docno>1</docno>\n<title>a wing\nin flow .</title>\n<text>a wing\nin flow .\n  lift < drag & more</text>"
    second = "<docno>2</docno><title></title><text></text>"
    put(folder / "cran.all.1400.xml", f"<doc>\n{first}\n</doc>\n<doc>\n{second}\n</doc>\n")
    queries = [(" 1", "\nlift ?\n"), (" 365", "drag"), (" 400", "none")]
    tops = "".join(f"<top>\n<num>{number}</num>\n<title>{text}</title>\n</top>" for number, text in queries)
    put(folder / "cran.qry.xml", f"<?xml version='1.0'?>\n<xml>{tops}</xml>")
    put(folder / "cranqrel.trec.txt", judgments)


def test_cranfield_queries_are_numbered_by_position(tmp_path: Path) -> None:
    cranfield_files(tmp_path / "cranfield", "1 0 1 0\n1 0 2 1\n2 0 1  3\n\n")
    dataset = datasets.load("cranfield", tmp_path)
    assert [(question.id, question.text, set(question.gold)) for question in dataset.questions] == [
        ("1", "lift ?", {"2"}),
        ("2", "drag", {"1"}),
    ]
    first, second = dataset.corpora[0].documents
    assert (first.title, first.text) == ("a wing in flow .", "lift < drag & more")
    assert (second.title, second.text) == (None, "")


def test_cranfield_refuses_a_line_that_is_no_judgment(tmp_path: Path) -> None:
    cranfield_files(tmp_path / "cranfield", "1 0 1 1\n365 0 1 1\n")
    with pytest.raises(ImportFormatError, match="line 2"):
        datasets.load("cranfield", tmp_path)


@pytest.mark.parametrize("name", datasets.names(generated=False))
def test_missing_files_are_named_with_both_ways_to_point_at_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetMissing, match=r"--data .*REMANENCE_BENCH_DATA") as caught:
        datasets.load(name, tmp_path)
    assert isinstance(caught.value, NotFound)
    assert str(tmp_path) in str(caught.value)


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "locomo" / "locomo_any.json", [chat()])
    monkeypatch.setenv("REMANENCE_BENCH_DATA", str(tmp_path))
    assert datasets.load("locomo").name == "locomo"
    monkeypatch.setenv("REMANENCE_BENCH_DATA", "")
    with pytest.raises(DatasetMissing, match="REMANENCE_BENCH_DATA"):
        datasets.load("locomo")
    with pytest.raises(DatasetMissing, match="does not exist"):
        datasets.load("locomo", tmp_path / "nowhere")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"locom.*locomo, longmemeval"):
        datasets.load("locom", tmp_path)


@pytest.mark.parametrize("content", ["{", b"\xff\xfe"])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "locomo" / "locomo_any.json"
    path.parent.mkdir()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ImportFormatError, match=r"locomo_any\.json"):
        datasets.load("locomo", tmp_path)


def test_a_date_of_another_form_is_named(tmp_path: Path) -> None:
    broken = chat()
    broken["conversation"]["session_2_date_time"] = "yesterday"
    put(tmp_path / "locomo" / "locomo_any.json", [broken])
    with pytest.raises(InvalidTime, match="yesterday"):
        datasets.load("locomo", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda sample: sample["conversation"]["session_2"][0].update(text="altered"),
        lambda sample: sample["qa"][0].update(question="altered"),
        lambda sample: sample["qa"][0].update(evidence=["D2:2"]),
        lambda sample: sample.update(sample_id="conv-9"),
    ],
)
def test_the_fingerprint_tells_contents_apart(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    put(tmp_path / "a" / "locomo" / "locomo_x.json", [chat()])
    put(tmp_path / "b" / "locomo" / "locomo_renamed.json", [chat()])
    altered = chat()
    change(altered)
    put(tmp_path / "c" / "locomo" / "locomo_x.json", [altered])
    same, renamed, other = (datasets.load("locomo", tmp_path / name).fingerprint() for name in "abc")
    assert same == renamed != other
