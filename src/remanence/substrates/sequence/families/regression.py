"""Memories as regressions on the past: what is fitted, how far, and which kernel does it.

    M_t ~ argmin_M sum_{i <= t} gamma_i(t) loss(f_M(phi(k_i)), v_i),   o_t = f_{M_t}(phi(q_t))

A layer is a choice on each axis. `choose` finds the fast kernel whose axes hold the choice; gradient memories for which
there is none are run by the naive update, and what makes no sense is refused with what there is. `PRESETS` are the
choices that published layers are. Source: Wang et al., Test-time regression (arXiv:2501.12352); the axes `grad_at`,
`solver` momentum and muon, and `window` are those of Titans (arXiv:2501.00663) and ATLAS (arXiv:2505.23735).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import recursive, ridge
from remanence.kernels.sequence.attention import KV, attention, local_linear, unseen
from remanence.kernels.sequence.deep import deep
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.frozen import Mlp
from remanence.kernels.sequence.hebbian import hebbian, normalized_hebbian
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.omega import omega
from remanence.kernels.sequence.proximal import proximal_beta
from remanence.kernels.sequence.update import Loss, Parameters, UpdateState, naive_update
from remanence.substrates.sequence.mechanism import State

GROWING = frozenset({"past_k", "past_v", "past_valid"})
"""Leaves that grow with the sequence, where all of the past is kept."""
_POSITION = "position"
_PAIRS = ("keys", "values", "weights")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A choice on each axis. `choose` says which of them go together."""

    weights: Literal["uniform", "decay", "last", "window", "kernel"] = "last"
    """Which pairs count at a token: all alike; all, fading; the last; the last `window`; by how near their keys are to
    the query (the last `window` of them, if it is given)."""
    memory: Literal["linear", "mlp", "constant", "local_linear"] = "linear"
    """f_M: M^T x; a perceptron of `depth` matrices whose start is learnt; a constant; a line through each query."""
    feature: str = "identity"
    """phi, by its name in `kernels.sequence.features`, after unit length."""
    unit: bool = True
    """Whether queries and keys are brought to unit length first."""
    loss: Loss = "l2"
    solver: Literal["gd", "momentum", "muon", "prox", "exact", "cg", "chebyshev", "recursive", "average"] = "gd"
    """A gradient step for each token; with momentum; that through Newton-Schulz; the implicit step; the solution, by
    elimination or iteration; the solution kept up to date, whose ridge fades; the weighted mean."""
    grad_at: Literal["decayed", "previous", "chunk_start"] = "decayed"
    """Where the gradient is taken: what is left after the decay, the memory before it, or that at the chunk's start."""
    read_at: Literal["after", "before"] = "after"
    """Whether a token reads the memory after it was written, or before."""
    decay: Literal["none", "head", "token", "channel", "sigmoid"] = "none"
    """How the past fades: not; by a fixed number for each head; by Mamba-2's gate for each token, or for each token and
    channel of the key; by 1 - sigmoid."""
    step: Literal["none", "sigmoid", "squared", "softplus", "decay"] = "none"
    """The step size of a token, or the weight of its pair: 1; `max_step` times a sigmoid, its square, or a softplus; or
    times the step that decay="token" is made of, as in Mamba-2."""
    max_step: float = 1.0
    gate_window: bool = False
    """Whether pairs in a window have weights of their own."""
    rate: bool = False
    """Whether what is added to the memory has a factor of its own for each token, a sigmoid times `max_rate`."""
    max_rate: float = 1.0
    window: int | None = None
    depth: int = 2
    expansion: float = 4.0
    residual: bool = False
    ridge: Literal["norm", "channel"] = "norm"
    """A share `ratio` of the norm of the covariance, or one learnt number for each head and channel of the key."""
    ratio: float = 0.02
    iterations: int = 30
    mix: bool = False
    """Whether it is learnt for each token how far from the query to the solution it is read."""
    epsilon: float = 1e-2
    """The ridge on the slope of a line, and the ridge that a recursive solution begins with."""
    normalize: bool = False
    """Whether what a Hebbian memory answers is divided by what it would, were all values 1: for positive features."""
    scale: float | None = None
    """Factor on queries; that of the kernel if left out."""
    chunk_size: int = 64

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for one in fields(self):
            allowed, value = get_args(hints[one.name]), getattr(self, one.name)
            if allowed and isinstance(allowed[0], str) and value not in allowed:
                raise InvalidInput(f"{one.name} is one of {', '.join(allowed)}; got {value!r}")
        if self.window is not None and self.window < 1:
            raise InvalidInput(f"window must be at least 1, or None; got {self.window}")
        if (self.weights == "window") != (self.window is not None) and self.weights != "kernel":
            raise InvalidInput(f"weights={self.weights!r} and window={self.window} do not go together")
        if (self.weights == "uniform" and self.decay != "none") or (self.weights == "decay" and self.decay == "none"):
            raise InvalidInput(f"weights={self.weights!r} and decay={self.decay!r} contradict each other")
        if (self.gate_window and self.weights != "window") or (self.mix and self.solver not in _SOLVED):
            raise InvalidInput("gate_window needs weights='window', and mix a solver that is exact, cg or chebyshev")

        if self.step == "decay" and self.decay != "token":
            raise InvalidInput(f"step='decay' takes the step of decay='token'; decay is {self.decay!r}")
        if self.normalize and (self.loss, self.solver, self.memory) != ("dot", "gd", "linear"):
            raise InvalidInput("normalize needs a Hebbian memory: memory='linear', loss='dot', solver='gd'")

    def axis(self, name: str) -> object:
        """The choice on an axis of `KERNELS`. A Hebbian memory counts all pairs because it adds up the last ones."""
        if (
            name == "weights"
            and self.loss == "dot"
            and self.solver in _GRADIENT
            and self.weights in ("uniform", "decay")
        ):
            return "last"
        return getattr(self, name)


_GRADIENT = ("gd", "momentum", "muon")
_SOLVED = ("exact", "cg", "chebyshev")

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "linear_attention": {"weights": "uniform", "loss": "dot", "feature": "elu1", "unit": False, "normalize": True},
    "retnet": {"weights": "decay", "loss": "dot", "decay": "head", "unit": False},
    "mamba2": {"weights": "decay", "loss": "dot", "decay": "token", "step": "decay", "unit": False},
    "gla": {"weights": "decay", "loss": "dot", "decay": "channel", "unit": False},
    "delta_net": {"step": "sigmoid"},
    "gated_delta_net": {"step": "sigmoid", "decay": "token"},
    "kda": {"step": "sigmoid", "decay": "channel"},
    "longhorn": {"solver": "prox", "step": "softplus", "unit": False},
    "titans": {
        "memory": "mlp", "loss": "squared", "solver": "momentum", "grad_at": "chunk_start", "decay": "sigmoid",
        "step": "sigmoid", "max_step": 0.02, "chunk_size": 16,
    },
    "omega": {
        "weights": "window", "window": 16, "memory": "mlp", "expansion": 1.0, "feature": "taylor2", "loss": "squared",
        "grad_at": "chunk_start", "decay": "sigmoid", "step": "sigmoid", "max_step": 1 / 512, "gate_window": True,
        "chunk_size": 16,
    },
    "atlas": {
        "weights": "window", "window": 16, "memory": "mlp", "expansion": 1.0, "feature": "taylor2", "loss": "squared",
        "solver": "muon", "grad_at": "chunk_start", "decay": "sigmoid", "gate_window": True, "rate": True,
        "max_rate": 0.02, "chunk_size": 16,
    },
    "mesa": {"weights": "decay", "solver": "cg", "decay": "token", "step": "sigmoid", "ridge": "channel"},
    "gka": {"weights": "decay", "solver": "chebyshev", "decay": "token", "step": "squared", "mix": True},
    "least_squares": {"weights": "decay", "solver": "recursive", "decay": "token", "step": "sigmoid"},
    "softmax": {"weights": "kernel", "memory": "constant", "solver": "average", "unit": False},
    "local_linear": {"weights": "kernel", "memory": "local_linear", "solver": "exact", "unit": False},
}  # fmt: skip
"""Settings of published layers. Those of Titans and ATLAS keep steps small enough for the sum over a chunk."""


class Sizes(NamedTuple):
    """Heads, width of a key after features, width of a value."""

    heads: int
    key: int
    value: int


Given = dict[str, Tensor]
Begin = Callable[[Settings, int, Sizes, Parameters, dict[str, Any]], State]
Run = Callable[[Settings, Tensor, Tensor, Tensor, State, Parameters, str, Given], tuple[Tensor, State]]


@dataclass(frozen=True)
class Kernel:
    """Which choices a kernel holds, by axis; how its state begins, and how it is run."""

    name: str
    axes: Mapping[str, tuple[object, ...]]
    begin: Begin
    run: Run

    def holds(self, settings: Settings) -> bool:
        """Whether it computes these settings."""
        return all(settings.axis(name) in allowed for name, allowed in self.axes.items())

    def __str__(self) -> str:
        axes = "; ".join(f"{name} {' | '.join(map(str, allowed))}" for name, allowed in self.axes.items())
        return f"{self.name}: {axes}"


def choose(settings: Settings) -> Kernel:
    """The kernel for a choice. Raises `InvalidInput`, with all that is possible, where there is none."""
    for kernel in KERNELS:
        if kernel.holds(settings):
            return kernel
    names = list(dict.fromkeys(name for kernel in KERNELS for name in kernel.axes))
    asked = ", ".join(f"{name} {settings.axis(name)}" for name in names)
    raise InvalidInput(f"nothing fits {asked}. Possible are\n" + "\n".join(map(str, KERNELS)))


# Attention: the regression is fitted again at each query, and the state is the past itself.


def _begin_past(settings: Settings, batch: int, sizes: Sizes, _: Parameters, like: dict[str, Any]) -> State:
    length = 0 if settings.window is None else settings.window - 1
    return _past(unseen(batch, length, sizes.heads, sizes.key, sizes.value, **like))


def _past(held: KV | None) -> State:
    assert held is not None
    assert held.valid is not None
    return {"past_k": held.k, "past_v": held.v, "past_valid": held.valid}


def _run_attention(
    settings: Settings, q: Tensor, k: Tensor, v: Tensor, state: State, _: Parameters, form: str, given: Given
) -> tuple[Tensor, State]:
    held = KV(state["past_k"], state["past_v"], state["past_valid"])
    if settings.memory == "constant":
        found = attention.in_form(form)(
            q, k, v, window=settings.window, scale=settings.scale, initial_state=held, chunk_size=settings.chunk_size
        )
    else:
        # Its chunks are smaller: for each query it holds all keys, centred.
        size = min(settings.chunk_size, 16)
        found = local_linear.in_form(form)(
            q, k, v, epsilon=settings.epsilon, window=settings.window, scale=settings.scale, initial_state=held,
            chunk_size=size,
        )  # fmt: skip
    return found.o, _past(found.final_state)


# Matrices that take one pair at a time.


def _begin_matrix(settings: Settings, batch: int, sizes: Sizes, _: Parameters, like: dict[str, Any]) -> State:
    return {"memory_0": torch.zeros(batch, sizes.heads, sizes.key, sizes.value + settings.normalize, **like)}


def _run_hebbian(
    settings: Settings, q: Tensor, k: Tensor, v: Tensor, state: State, _: Parameters, form: str, given: Given
) -> tuple[Tensor, State]:
    theta, g, held = given.get("theta"), given.get("g"), state["memory_0"]
    if settings.normalize:
        o, after = normalized_hebbian(q, k, v, theta, g, initial_state=held, chunk_size=settings.chunk_size, form=form)
    else:
        o, after = hebbian.in_form(form)(
            q, k, v, theta, g, scale=settings.scale, initial_state=held, chunk_size=settings.chunk_size
        )
    assert after is not None
    return o, {"memory_0": after}


def _run_delta(
    settings: Settings, q: Tensor, k: Tensor, v: Tensor, state: State, _: Parameters, form: str, given: Given
) -> tuple[Tensor, State]:
    beta = given.get("theta")
    if settings.solver == "prox":
        beta = proximal_beta(k, torch.ones_like(k[..., 0]) if beta is None else beta)
    elif settings.loss == "squared":
        beta = 2 * (torch.ones_like(k[..., 0]) if beta is None else beta)
    o, after = gated_delta_rule.in_form(form)(
        q, k, v, beta, given.get("g"),
        scale=settings.scale, initial_state=state["memory_0"], chunk_size=settings.chunk_size,
        grad_at="previous" if settings.grad_at == "previous" else "decayed",
    )  # fmt: skip
    assert after is not None
    return o, {"memory_0": after}


# Solutions on all of the past.


def _begin_ridge(settings: Settings, batch: int, sizes: Sizes, _: Parameters, like: dict[str, Any]) -> State:
    return ridge.empty(batch, sizes.heads, sizes.key, sizes.value, **like)._asdict()


def _run_ridge(
    settings: Settings, q: Tensor, k: Tensor, v: Tensor, state: State, _: Parameters, form: str, given: Given
) -> tuple[Tensor, State]:
    solver = settings.solver
    assert solver in ("exact", "cg", "chebyshev")
    o, after = ridge.ridge.in_form(form)(
        q, k, v, given.get("theta"), given.get("g"), lam=given.get("lam"), ratio=settings.ratio,
        alpha=given.get("alpha"), solver=solver, iterations=settings.iterations, scale=settings.scale,
        initial_state=ridge.RidgeState(state["h"], state["u"]), chunk_size=settings.chunk_size,
    )  # fmt: skip
    assert after is not None
    return o, after._asdict()


def _begin_recursive(settings: Settings, batch: int, sizes: Sizes, _: Parameters, like: dict[str, Any]) -> State:
    begun = recursive.start(batch, sizes.heads, sizes.key, sizes.value, lam=settings.epsilon, **like)
    return begun._asdict()


def _run_recursive(
    settings: Settings, q: Tensor, k: Tensor, v: Tensor, state: State, _: Parameters, form: str, given: Given
) -> tuple[Tensor, State]:
    o, after = recursive.least_squares.in_form(form)(
        q, k, v, given.get("theta"), given.get("g"), scale=settings.scale,
        initial_state=recursive.RecursiveState(state["p"], state["m"]), chunk_size=settings.chunk_size,
    )  # fmt: skip
    assert after is not None
    return o, after._asdict()


# Gradient steps, with momentum, windows, perceptrons.


def _begin_update(settings: Settings, batch: int, sizes: Sizes, initial: Parameters, like: dict[str, Any]) -> State:
    start = initial or (torch.zeros(sizes.heads, sizes.key, sizes.value),)
    state: State = {_POSITION: torch.zeros(batch, dtype=torch.long, device=like.get("device"))}
    for number, one in enumerate(start):
        held = one.to(**like).expand(batch, *one.shape)
        state[f"memory_{number}"], state[f"anchor_{number}"] = held, held
        state[f"momentum_{number}"] = torch.zeros_like(held)
    if settings.window is not None:
        # Pairs of weight 0 stand for those that were not there yet: the state keeps its size.
        for name, width in zip(_PAIRS, ((sizes.key,), (sizes.value,), ()), strict=True):
            state[name] = torch.zeros(batch, settings.window - 1, sizes.heads, *width, **like)
    return state


def _run_update(
    settings: Settings, q: Tensor, k: Tensor, v: Tensor, state: State, initial: Parameters, form: str, given: Given
) -> tuple[Tensor, State]:
    numbers = range(len(initial) or 1)
    weights, momentum, anchor = (
        tuple(state[f"{name}_{i}"] for i in numbers) for name in ("memory", "momentum", "anchor")
    )
    pairs = (k[:, :0], v[:, :0], k[:, :0, :, 0])
    if settings.window is not None:
        pairs = (state["keys"], state["values"], state["weights"])
    size = settings.chunk_size if settings.grad_at == "chunk_start" else 1
    before = UpdateState(weights, momentum, anchor, *pairs, int(state[_POSITION][0]) % size)
    shared: dict[str, Any] = {
        "loss": settings.loss, "window": settings.window or 1, "chunk_size": size,
        "scale": 1.0 if settings.scale is None else settings.scale,
        **{name: given[name] for name in ("g", "eta", "theta", "gamma", "rate") if name in given},
    }  # fmt: skip
    muon = settings.solver == "muon"
    if not FROZEN.holds(settings):
        o, after = naive_update(
            q, k, v, state=before, apply=Mlp(settings.residual), grad_at=settings.grad_at, read_at=settings.read_at,
            post=_orthogonal if muon else _same, **shared,
        )  # fmt: skip
    else:
        shared = {**shared, "initial_state": before, "post": newton_schulz if muon else None}
        if len(weights) == 1:
            o, found = omega.in_form(form)(q, k, v, **shared)
        else:
            o, found = deep.in_form(form)(q, k, v, memory=Mlp(settings.residual), **shared)
        assert found is not None
        after = found
    kept: State = {_POSITION: state[_POSITION] + q.shape[1]}
    for i in numbers:
        kept[f"memory_{i}"], kept[f"anchor_{i}"] = after.parameters[i], after.anchor[i]
        kept[f"momentum_{i}"] = after.momentum[i]
    if settings.window is not None:
        kept.update({name: getattr(after, name) for name in _PAIRS})
    return o, kept


def _same(step: Tensor) -> Tensor:
    return step


def _orthogonal(step: Tensor) -> Tensor:
    """Newton-Schulz on weight matrices [B, H, in, out]; a gain [B, H, V] is none."""
    return newton_schulz(step) if step.ndim == 4 else step


def phase(settings: Settings, state: State) -> Tensor | None:
    """Where in a chunk each sequence stands, where gradients are taken at the start of chunks."""
    if _POSITION not in state or settings.grad_at != "chunk_start":
        return None
    return state[_POSITION] % settings.chunk_size


_FADES_WHOLE = ("none", "head", "token", "sigmoid")
FROZEN = Kernel(
    "frozen gradients",
    {
        "memory": ("linear", "mlp"), "weights": ("last", "window"), "loss": ("dot", "l2", "squared"),
        "solver": _GRADIENT, "grad_at": ("previous", "chunk_start"), "read_at": ("after",), "decay": _FADES_WHOLE,
    },
    _begin_update,
    _run_update,
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "attention",
        {
            "memory": ("constant",), "weights": ("kernel",), "loss": ("l2",), "solver": ("average",),
            "read_at": ("after",), "decay": ("none",), "step": ("none",),
        },
        _begin_past, _run_attention,
    ),
    Kernel(
        "local-linear attention",
        {
            "memory": ("local_linear",), "weights": ("kernel",), "loss": ("l2",), "solver": ("exact",),
            "read_at": ("after",), "decay": ("none",), "step": ("none",),
        },
        _begin_past, _run_attention,
    ),
    Kernel(
        "Hebbian",
        {
            "memory": ("linear",), "weights": ("last",), "loss": ("dot",), "solver": ("gd",), "read_at": ("after",),
            "decay": get_args(get_type_hints(Settings)["decay"]), "rate": (False,),
        },
        _begin_matrix, _run_hebbian,
    ),
    Kernel(
        "delta rule",
        {
            "memory": ("linear",), "weights": ("last",), "loss": ("l2", "squared"), "solver": ("gd",),
            "grad_at": ("decayed", "previous"), "read_at": ("after",),
            "decay": get_args(get_type_hints(Settings)["decay"]), "rate": (False,),
        },
        _begin_matrix, _run_delta,
    ),
    Kernel(
        "implicit step",
        {
            "memory": ("linear",), "weights": ("last",), "loss": ("l2",), "solver": ("prox",),
            "grad_at": ("decayed",), "read_at": ("after",),
            "decay": get_args(get_type_hints(Settings)["decay"]), "rate": (False,),
        },
        _begin_matrix, _run_delta,
    ),
    Kernel(
        "ridge",
        {
            "memory": ("linear",), "weights": ("uniform", "decay"), "loss": ("l2",), "solver": _SOLVED,
            "read_at": ("after",), "decay": _FADES_WHOLE, "rate": (False,),
        },
        _begin_ridge, _run_ridge,
    ),
    Kernel(
        "recursive least squares",
        {
            "memory": ("linear",), "weights": ("uniform", "decay"), "loss": ("l2",), "solver": ("recursive",),
            "read_at": ("after",), "decay": _FADES_WHOLE, "rate": (False,),
        },
        _begin_recursive, _run_recursive,
    ),
    FROZEN,
    Kernel(
        "naive update, token by token",
        {
            "memory": ("linear", "mlp"), "weights": ("last", "window"), "loss": ("dot", "l2", "squared"),
            "solver": _GRADIENT, "read_at": ("after", "before"), "decay": _FADES_WHOLE,
        },
        _begin_update, _run_update,
    ),
    Kernel(
        "naive update with decay by channel",
        {
            "memory": ("linear",), "weights": ("last", "window"), "loss": ("dot", "l2", "squared"),
            "solver": _GRADIENT, "read_at": ("after", "before"), "decay": ("channel",),
        },
        _begin_update, _run_update,
    ),
)  # fmt: skip
"""The first that holds a choice is taken: fast ones stand before the naive ones."""
