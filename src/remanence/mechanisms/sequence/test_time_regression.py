"""Test-time regression: one layer of which linear attention, delta rules, Titans, ridge memories and attention are
settings.

    M_t ~ argmin_M sum_{i <= t} gamma_i(t) loss(f_M(phi(k_i)), v_i),   o_t = f_{M_t}(phi(q_t))

The axes, the kernels behind them and the settings of published layers are in `substrates.sequence.families.regression`.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.deep import initial_weights
from remanence.kernels.sequence.features import feature
from remanence.substrates.sequence.families.regression import GROWING, PRESETS, Settings, Sizes, choose, phase
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import Decay, HeadMixer, wide

CARD = Card(
    slug="test_time_regression",
    substrate="sequence",
    title="Test-time regression",
    paper="ttr",
    claim="a line fitted at each query predicts noisy affine data better than the weighted mean that attention is",
    idea="Recall is regression on the past. Which pairs count, what is fitted, and how far, are settings of one layer: "
    "published layers are points, and local-linear attention is one that the theory adds.",
    equation="M_t = argmin_M sum_i gamma_i(t) loss(f_M(phi(k_i)), v_i);  o_t = f_{M_t}(phi(q_t))",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "the ridge of local-linear attention is relative to weights that sum to 1, and its keys are centred: the same "
        "fit, without a division by a sum that vanishes",
        "coefficients of polynomial features are fixed, where ATLAS learns them",
        "gradient settings without a fast kernel run token by token",
    ),
)

BEGIN = {"forget": 0.005, "eta": 0.7, "gamma": 0.98}
"""What the gates are before training: 1 - the retention, the momentum, the weight of a pair in its windows."""


class TestTimeRegression(HeadMixer):
    """A layer by its settings: those of a preset, and whatever of them is given besides.

    `TestTimeRegression(preset="titans", depth=3)`, `TestTimeRegression(preset="gla", feature="poly2")`.

    Args:
        preset: a name in `PRESETS`; "local_linear", the paper's own, keeps the whole past unless it has a window.
        axes: fields of `Settings`, and arguments of `HeadMixer`.

    Raises `InvalidInput` for a name that is not there, and for settings that do not go together.

    """

    # pytest collects what is called Test…
    __test__: ClassVar[bool] = False
    card: ClassVar[Card] = CARD
    growing: ClassVar[frozenset[str]] = GROWING

    def __init__(self, *, preset: str = "gated_delta_net", **axes: Any) -> None:
        if preset not in PRESETS:
            raise InvalidInput(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
        names = {one.name for one in fields(Settings)}
        chosen = {**PRESETS[preset], **{name: value for name, value in axes.items() if name in names}}
        settings = Settings(**chosen)
        others = {name: value for name, value in axes.items() if name not in names}
        super().__init__(**others, chunk_size=settings.chunk_size)
        self.settings = settings
        self.kernel = choose(self.settings)
        self.feature_map = feature(self.settings.feature)
        self.sizes = Sizes(self.num_heads, self.feature_map.size(self.head_dim), self.value_dim)
        self._make_gates()
        self.initial = nn.ParameterList()
        if self.settings.memory == "mlp":
            hidden, residual = round(self.settings.expansion * self.head_dim), self.settings.residual
            start = initial_weights(*self.sizes, depth=self.settings.depth, hidden=hidden, residual=residual)
            self.initial.extend(nn.Parameter(one) for one in start)

    def _make_gates(self) -> None:
        settings, width, heads = self.settings, self.hidden_size, self.num_heads
        gates = {
            "theta": settings.step not in ("none", "decay"),
            "eta": settings.solver in ("momentum", "muon"),
            "gamma": settings.gate_window,
            "rate": settings.rate,
            "alpha": settings.mix,
            "forget": settings.decay == "sigmoid",
        }
        self.projections = nn.ModuleDict({name: nn.Linear(width, heads) for name, used in gates.items() if used})
        for name, first in BEGIN.items():
            if name in self.projections:
                with torch.no_grad():
                    self._projection(name).bias.fill_(math.log(first / (1 - first)))
        self.decay: Decay | None = None
        if settings.decay in ("token", "channel"):
            self.decay = Decay(width, heads * (self.sizes.key if settings.decay == "channel" else 1))
        self.lambda_raw: nn.Parameter | None = None
        if settings.ridge == "channel" and settings.solver in ("exact", "cg", "chebyshev"):
            self.lambda_raw = nn.Parameter(torch.full((heads, self.sizes.key), math.log(math.expm1(0.75))))

    def _projection(self, name: str) -> nn.Linear:
        found = self.projections[name]
        assert isinstance(found, nn.Linear)
        return found

    def features(self, x: Tensor) -> Tensor:
        """Unit length, if that is set, then the map."""
        return self.feature_map(super().features(x) if self.settings.unit else x)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """What the settings have gates for, [B, T, H] each, g also [B, T, H, K]."""
        settings = self.settings
        raw = {name: self._projection(name)(x).to(wide(x.dtype)) for name in self.projections}
        found = {name: torch.sigmoid(one) for name, one in raw.items() if name in ("eta", "gamma", "alpha")}
        if "theta" in raw:
            theta = functional.softplus(raw["theta"]) if settings.step == "softplus" else torch.sigmoid(raw["theta"])
            if settings.step == "squared":
                # As in Gated KalmaNet, whose gate multiplies keys and values.
                theta = (theta + 1e-6).square()
            found["theta"] = settings.max_step * theta
        if "rate" in raw:
            found["rate"] = settings.max_rate * torch.sigmoid(raw["rate"])
        if "forget" in raw:
            found["g"] = functional.logsigmoid(-raw["forget"])
        if self.decay is not None:
            g = self.decay(x)
            found["g"] = g.unflatten(-1, (self.num_heads, -1)) if settings.decay == "channel" else g
            if settings.step == "decay":
                found["theta"] = -settings.max_step * g / self.decay.A_log.to(g.dtype).exp()
        if settings.decay == "head":
            heads = torch.arange(self.num_heads, device=x.device, dtype=wide(x.dtype))
            found["g"] = torch.log1p(-(2.0 ** (-5 - heads))).expand(*x.shape[:2], self.num_heads)
        return found

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """What the kernel of these settings begins with."""
        return self.kernel.begin(
            self.settings, batch, self.sizes, tuple(self.initial), {"device": device, "dtype": dtype}
        )

    def phase(self, state: State) -> Tensor | None:
        """Where in a chunk each sequence stands, if gradients are taken at the start of chunks."""
        return phase(self.settings, state)

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Fit the memory to pairs and read it: q, k [B, T, H, F], v [B, T, H, V] to o [B, T, H, V]."""
        given = dict(gates)
        if self.lambda_raw is not None:
            given["lam"] = functional.softplus(self.lambda_raw).to(q.dtype) + 0.25
        return self.kernel.run(self.settings, q, k, v, state, tuple(self.initial), form, given)
