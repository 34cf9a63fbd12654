"""HAX: a state space, and attention to a few keys that depend on the context, added to what it reads.

    K, Q = h W_xx                                 from what enters the state space, beside its own B and C
    seen = newest keys of the query's hash bucket, and the best by score(K_i, normalize(sum_{p <= i} Q_p))
    y    = ssm(h) + E * softmax(Q K_seen^T) h_seen,   E for each channel

Both choices together see at most `keys` keys; what may still be chosen is kept, so that the state does not grow. Scores
learn from a loss of their own (`ranking_loss`), to be added to that of the model.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import sparse_attention as sparse
from remanence.kernels.sequence.sparse_attention import SparseState
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.families.mamba import Fixed, Mamba
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import wide

CARD = Card(
    slug="hax",
    substrate="sequence",
    title="HAX",
    paper="hax",
    claim="finds the value of a context and a key together in a table that a window of as many keys does not reach",
    idea="Adds attention to keys of the query's hash bucket, and to keys scored high, to a state-space model.",
    equation="y = ssm(h) + E * attn(Q, K, h; newest k/2 of the bucket of Q, best k/2 by score(K, sum of Q so far))",
    source="DeepGraphLearning/HAX",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "what is taken off before hashing is the running mean, and vectors are normalised over their features: the "
        "published code does both over the sequence, which looks ahead",
        "the state space is that of Mamba with Mamba-2's norm before the way out",
        "8 bits and 64 keys are arguments; the defaults are smaller, as every bucket keeps keys",
    ),
    waivers={"S18": "scores only choose; they learn from ranking_loss, not from what the layer answers"},
)


class HAX(SequenceLayer):
    """The layer; the state has that of the state space (conv, ssm) and `SparseState`'s.

    Args:
        hidden_size: D.
        keys: that a query sees; half of them of its bucket, half by score.
        bits: of the hash; there are 2^bits buckets.
        key_size: K, width of keys and queries.
        expand, state_size, conv_size: of the state space.
        chunk_size: tokens whose best scores are found together.
        seed: of the initial weights, and of the planes of the hash.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        keys: int = 32,
        bits: int = 5,
        key_size: int = 32,
        expand: float = 2.0,
        state_size: int = 16,
        conv_size: int = 4,
        chunk_size: int = 64,
        seed: int | None = 0,
    ) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        if keys < 2 or keys % 2 or not 1 <= bits <= 16 or min(key_size, chunk_size) < 1:
            raise InvalidInput(
                "keys must be even and at least 2, bits 1 to 16, key_size and chunk_size at least 1; got "
                f"{keys}, {bits}, {key_size}, {chunk_size}"
            )
        self.share, self.bits, self.key_size, self.chunk_size = keys // 2, bits, key_size, chunk_size
        self.mamba = Mamba(hidden_size, expand=expand, state_size=state_size, conv_size=conv_size, norm=True)
        self.kq_proj = nn.Linear(self.mamba.width, 2 * key_size, bias=False)
        self.gain = nn.Parameter(torch.ones(self.mamba.width))
        self.scorer = nn.Sequential(
            nn.Linear(2 * key_size, key_size),
            nn.ReLU(),
            nn.Linear(key_size, key_size),
            nn.ReLU(),
            nn.Linear(key_size, 1),
        )
        self.hash = Fixed(planes=torch.randn(key_size, bits))

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Nothing was read."""
        weight = self.kq_proj.weight
        place, type_ = weight.device if device is None else device, weight.dtype if dtype is None else dtype
        empty = sparse.empty(
            batch,
            key_dim=self.key_size,
            value_dim=self.mamba.width,
            bits=self.bits,
            recent=self.share,
            top=self.share,
            device=place,
            dtype=wide(type_),
        )
        return {**self.mamba.init_state(batch, device=place, dtype=type_), **empty._asdict()}

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """What the state space reads, and what attention adds."""
        held = SparseState(*(state[name] for name in SparseState._fields))
        h, z, tail = self.mamba.enter(x, state["conv"])
        read, ssm = self.mamba.scan(h, state["ssm"], form=form)
        k, q = self.kq_proj(h).chunk(2, -1)
        scores = self._scores(q, k, held.q_sum)
        with torch.autocast(x.device.type, enabled=False):
            type_ = wide(h.dtype)
            found = sparse.sparse_attention.in_form(form)(
                q.to(type_),
                k.to(type_),
                h.to(type_),
                self.hash.get("planes").to(type_),
                scores.to(type_),
                recent=self.share,
                top=self.share,
                initial_state=held,
                chunk_size=self.chunk_size,
            )
        assert found.final_state is not None
        y = self.mamba.leave(read + self.gain * found.o.to(read.dtype), z)
        return y.to(x.dtype), {"conv": tail, "ssm": ssm, **found.final_state._asdict()}

    def ranking_loss(
        self, x: Tensor, state: State | None = None, *, sample: int = 64, generator: torch.Generator | None = None
    ) -> Tensor:
        """How badly scores order keys by what later queries find in them; the publication adds 0.1 times it.

        Args:
            x: tokens as the layer gets them, [B, T, D].
            state: of what came before.
            sample: keys that are compared with each other.
            generator: of the sample; torch's own if left out.

        Gradients reach the scorer alone.

        """
        state = self.init_state(x.shape[0], device=x.device) if state is None else state
        h, _, _ = self.mamba.enter(x, state["conv"])
        k, q = self.kq_proj(h).chunk(2, -1)
        place = x.device if generator is None else generator.device
        places = torch.randperm(x.shape[1], generator=generator, device=place)[:sample].to(x.device)
        scores = self._scores(q, k, state["q_sum"])[:, places]
        return sparse.ranking_loss(scores, sparse.importance(q, k, places))

    def _scores(self, q: Tensor, k: Tensor, before: Tensor) -> Tensor:
        """How much each key may matter to queries like those so far, [B, T]."""
        so_far = functional.normalize(sparse.running_sum(q.detach().to(before.dtype), before.detach()), dim=-1)
        scores: Tensor = self.scorer(torch.cat((k.detach(), so_far.to(k.dtype)), -1))
        return scores[..., 0]
