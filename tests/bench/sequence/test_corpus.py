from __future__ import annotations

from pathlib import Path

import pytest
import torch

from remanence.bench.sequence.corpus import ByteCorpus, batch_of
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.scenarios.mqar import mqar

DATA = bytes(range(256)) * 8


def test_training_and_testing_share_no_byte() -> None:
    corpus = ByteCorpus.of(DATA, test_share=0.25)
    assert (len(corpus.train), len(corpus.test)) == (1536, 512)
    assert bytes(torch.cat([corpus.train, corpus.test]).tolist()) == DATA


def test_a_batch_is_decided_by_seed_and_step_and_its_targets_are_the_next_bytes() -> None:
    corpus = ByteCorpus.of(DATA)
    batches = corpus.batches(3, size=4, length=10)
    one, again, other = batches(7), corpus.batches(3, size=4, length=10)(7), batches(8)
    assert torch.equal(one.ids, again.ids)
    assert not torch.equal(one.ids, other.ids)
    assert torch.equal((one.ids + 1) % 256, one.targets)
    assert one.counts.all()


def test_stretches_to_test_on_are_spread_and_do_not_overlap() -> None:
    corpus = ByteCorpus.of(DATA, test_share=0.5)
    batch = corpus.test_batch(size=100, length=31)
    assert batch.ids.shape == (32, 31)
    assert torch.equal((batch.ids + 1) % 256, batch.targets)
    assert corpus.test_batch(size=3, length=31).ids.shape == (3, 31)


def test_bad_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match="No such file"):
        ByteCorpus.read(tmp_path / "absent.txt")
    (tmp_path / "short.txt").write_bytes(b"x" * 999)
    with pytest.raises(ImportFormatError, match="999 bytes"):
        ByteCorpus.read(tmp_path / "short.txt")
    with pytest.raises(InvalidInput, match="test_share"):
        ByteCorpus.of(DATA, test_share=1.0)
    corpus = ByteCorpus.of(DATA)
    with pytest.raises(InvalidInput, match="do not fit"):
        corpus.batches(0, size=1, length=5000)
    for size, length in ((0, 8), (2, 0)):
        with pytest.raises(InvalidInput, match=f"got {size} of {length} bytes"):
            corpus.batches(0, size=size, length=length)
    with pytest.raises(InvalidInput, match="do not fit"):
        corpus.test_batch(size=1, length=5000)


def test_a_task_counts_only_where_it_asks() -> None:
    task = mqar(0, sequences=2, pairs=3)
    batch = batch_of(task)
    assert batch.counts.sum() == 6
    assert batch.targets[batch.counts].tolist() == task.targets[task.asked].tolist()
