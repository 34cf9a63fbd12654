"""Do notes still hold what mattered two hundred tokens ago, when the state beside them has faded?

Nothing is learned: importance is the mark that tokens carry, a note is the token itself, and a query is a cue. The
baseline is the better of two readings of a state space that gets the same cues and contents as its B and x: one that
fades by 0.95 with each token, and one that writes only as much as a token is marked, and fades as little as it likes.
"""

from __future__ import annotations

import numpy as np
import torch

from remanence.core.card import Evidence
from remanence.kernels.sequence.note_pool import Policy
from remanence.kernels.sequence.state_space import selective_scan
from remanence.mechanisms.sequence.mem_mamba import MemMamba
from remanence.scenarios.planted_tokens import Planted, planted_tokens

SHARPNESS = 40.0


def witness(seed: int) -> Evidence:
    """The mean cosine of what is recalled with what was planted."""
    world = planted_tokens(seed)
    return Evidence("cosine with what was planted", notes(world), max(fading(world), gated(world)))


def notes(world: Planted, *, policy: Policy = "priority", pool_size: int = 50) -> float:
    """The pool's, after a layer has read the stream."""
    layer = _by_hand(world, policy, pool_size)
    with torch.no_grad():
        _, state = layer.scan(torch.from_numpy(world.tokens)[None])
        asked = world.tokens[world.places].copy()
        asked[:, 1 + world.size :] = 0
        held = {name: one.expand(len(asked), *one.shape[1:]) for name, one in state.items()}
        found = layer.recall(torch.from_numpy(asked), held)
    return world.cosine(found[:, 1 + world.size :].numpy())


def _by_hand(world: Planted, policy: Policy, pool_size: int) -> MemMamba:
    """One layer that notes what is marked above 1/2, the more important the more marked, as it is."""
    width = world.tokens.shape[1]
    layer = MemMamba(hidden_size=width, depth=1, note_size=width, pool_size=pool_size, policy=policy, state_size=2)
    cell = layer.cells[0].double()
    with torch.no_grad():
        for name, one in cell.named_parameters():
            if name.startswith(("importance", "note", "query")):
                one.zero_()
        # Tokens come divided by their root mean square, which lies between (2 / width)^1/2 and (3 / width)^1/2.
        scale = (2 / width) ** 0.5
        cell.get_parameter("importance.0.weight")[0, 0] = 10 * scale
        cell.get_parameter("importance.2.weight")[0, 0] = 1.0
        cell.get_parameter("importance.2.bias")[0] = -4.0
        cell.get_parameter("note.weight").copy_(torch.eye(width))
        cues = torch.zeros(width)
        cues[1 : 1 + world.size] = SHARPNESS
        cell.get_parameter("query.weight").copy_(torch.diag(cues))
    return layer


def fading(world: Planted, decay: float = 0.95) -> float:
    """A state that every token is written to and that fades."""
    return _state_space(world, np.ones(len(world.tokens)), -np.log(decay))


def gated(world: Planted) -> float:
    """A state that is written to as much as a token is marked, and fades only then, at the best of some rates."""
    return max(_state_space(world, world.marks, rate) for rate in (0.0, 1e-3, 1e-2, 1e-1))


def _state_space(world: Planted, steps: np.ndarray, rate: float) -> float:
    contents, cues, dt = (torch.from_numpy(np.ascontiguousarray(one)) for one in (world.contents, world.cues, steps))
    a = torch.full((world.size, world.size), -rate, dtype=torch.float64)
    _, state = selective_scan(contents[None], dt[None, :, None].expand_as(contents[None]), a, cues[None], cues[None])
    assert state is not None
    return world.cosine((cues[world.places] @ state[0].mT).numpy())
