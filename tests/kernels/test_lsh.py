from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.lsh import RotationHash, members

Floats = NDArray[np.float64]


def _unit(rows: Floats) -> Floats:
    units: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


def _pairs(cosine: float, pairs: int, dimension: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    one = _unit(rng.standard_normal((pairs, dimension)))
    other = rng.standard_normal((pairs, dimension))
    other -= (one * other).sum(axis=1, keepdims=True) * one
    return one, cosine * one + np.sqrt(1 - cosine**2) * _unit(other)


def _collisions(hashing: RotationHash, cosine: float) -> float:
    one, other = _pairs(cosine, 3000, hashing.dimension, seed=1)
    return float(np.mean(hashing.hash(one) == hashing.hash(other)))


@given(st.integers(1, 24), st.integers(1, 16), st.integers(0, 1000))
def test_equals_naive(dimension: int, half: int, seed: int) -> None:
    hashing = RotationHash.seeded(dimension, 2 * half, seed)
    vectors = np.random.default_rng(seed + 1).standard_normal((5, dimension))
    count = min(4, 2 * half)
    probes = hashing.probes(vectors, count)
    assert probes.tolist() == [hashing.probes_naive(vector.tolist(), count) for vector in vectors]
    assert hashing.hash(vectors).tolist() == probes[:, 0].tolist()
    assert [hashing.bucket(vector) for vector in vectors] == probes[:, 0].tolist()


@given(st.integers(2, 24), st.integers(1, 16), st.integers(0, 1000), st.floats(1e-200, 1e200))
def test_length_does_not_matter_and_the_opposite_has_the_opposite_bucket(
    dimension: int, half: int, seed: int, factor: float
) -> None:
    hashing = RotationHash.seeded(dimension, 2 * half, seed)
    vectors = np.random.default_rng(seed + 1).standard_normal((20, dimension))
    hashed = hashing.hash(vectors)
    assert hashing.hash(factor * vectors).tolist() == hashed.tolist()
    assert hashing.hash(-vectors).tolist() == ((hashed + half) % (2 * half)).tolist()
    assert hashed.min() >= 0
    assert hashed.max() < 2 * half


def test_without_the_mirrored_half_opposites_would_share_a_bucket() -> None:
    """argmax |xR|, a plausible slip, sends x and -x to one bucket; F must not."""
    hashing = RotationHash.seeded(16, 8)
    vectors = np.random.default_rng(1).standard_normal((50, 16))
    slip = np.abs(vectors @ hashing.directions).argmax(axis=1)
    assert slip.tolist() == np.abs(-vectors @ hashing.directions).argmax(axis=1).tolist()
    assert not (hashing.hash(vectors) == hashing.hash(-vectors)).any()


def test_every_probe_is_a_bucket_of_its_own() -> None:
    hashing = RotationHash.seeded(8, 6)
    probes = hashing.probes(np.random.default_rng(2).standard_normal((30, 8)), 6)
    assert [sorted(row) for row in probes.tolist()] == [list(range(6))] * 30
    # The least likely bucket is the opposite of the likeliest.
    assert probes[:, -1].tolist() == ((probes[:, 0] + 3) % 6).tolist()


@pytest.mark.parametrize("buckets", [8, 32, 128])
def test_near_vectors_collide_far_oftener(buckets: int) -> None:
    hashing = RotationHash.seeded(64, buckets)
    near, middle, far = (_collisions(hashing, cosine) for cosine in (0.9, 0.6, 0.3))
    assert near > 0.4
    assert near > middle + 0.15 > far + 0.15
    assert near > 2.5 * far
    assert far > 1 / buckets
    assert _collisions(hashing, 1.0) == 1
    assert _collisions(hashing, -1.0) == 0
    # Orthogonal vectors, or a hash that does not look at them, would meet once in as many buckets.
    assert _collisions(hashing, 0.0) == pytest.approx(1 / buckets, abs=0.02)


def test_the_seed_decides() -> None:
    vectors = np.random.default_rng(3).standard_normal((40, 12))
    same, again, other = (RotationHash.seeded(12, 16, seed).hash(vectors).tolist() for seed in (7, 7, 8))
    assert same == again != other


def test_members_are_split_among_buckets() -> None:
    hashing = RotationHash.seeded(12, 16)
    hashed = hashing.hash(np.random.default_rng(3).standard_normal((200, 12)))
    groups = members(hashed, 16)
    assert len(groups) == 16
    assert [group.tolist() for group in groups] == [np.flatnonzero(hashed == bucket).tolist() for bucket in range(16)]
    assert [group.tolist() for group in members(np.zeros(0, np.intp), 4)] == [[]] * 4


def _recall_and_share(buckets: int, probes: int) -> tuple[float, float]:
    """Recall@5 against brute force and the share scanned: 2000 vectors, 200 of them with four near-duplicates."""
    rng = np.random.default_rng(5)
    base = _unit(rng.standard_normal((2000, 64)))
    queries, *copies = (_unit(base[:200] + 0.042 * rng.standard_normal((200, 64))) for _ in range(5))
    stored = np.concatenate([base, *copies])
    assert (queries * copies[0]).sum(axis=1).mean() == pytest.approx(0.9, abs=0.01)
    hashing = RotationHash.seeded(64, buckets, seed=6)
    groups = members(hashing.hash(stored), buckets)
    found, scanned = 0, 0
    for query, chosen in zip(queries, hashing.probes(queries, probes), strict=True):
        seen = np.concatenate([groups[bucket] for bucket in chosen])
        best = set(np.argsort(-(stored @ query))[:5].tolist())
        found += len(best & set(seen[np.argsort(-(stored[seen] @ query))[:5]].tolist()))
        scanned += len(seen)
    return found / 1000, scanned / (200 * len(stored))


def test_more_probes_find_more_and_more_buckets_scan_less() -> None:
    figures = {(buckets, probes): _recall_and_share(buckets, probes) for buckets in (8, 32) for probes in (1, 2, 4)}
    for buckets in (8, 32):
        recalls = [figures[buckets, probes][0] for probes in (1, 2, 4)]
        assert recalls == sorted(recalls)
        assert recalls[-1] > 0.85
        shares = [figures[buckets, probes][1] for probes in (1, 2, 4)]
        assert shares == pytest.approx([probes / buckets for probes in (1, 2, 4)], rel=0.25)
    for probes in (1, 2, 4):
        assert figures[32, probes][1] < figures[8, probes][1]
        # Far better than scanning as many vectors at random.
        assert figures[32, probes][0] > 5 * figures[32, probes][1]


def test_what_cannot_be_hashed() -> None:
    with pytest.raises(InvalidInput, match="7 buckets"):
        RotationHash.seeded(4, 7)
    with pytest.raises(InvalidInput, match="0 buckets"):
        RotationHash.seeded(4, 0)
    with pytest.raises(InvalidInput, match="0 components"):
        RotationHash.seeded(0, 8)
    hashing = RotationHash.seeded(4, 8)
    with pytest.raises(InvalidInput, match=r"shape \(1, 3\) do not fit a hash of 4"):
        hashing.bucket([1.0, 2.0, 3.0])
    for bad in (0.0, np.nan, np.inf):
        with pytest.raises(InvalidInput, match="vector 1 is zero or not finite"):
            hashing.hash([[1.0, 0, 0, 0], [bad, 0, 0, 0]])
    for count in (0, 9):
        with pytest.raises(InvalidInput, match=f"{count} probes among 8 buckets"):
            hashing.probes(np.ones((1, 4)), count)
    assert hashing.hash(np.zeros((0, 4))).tolist() == []
