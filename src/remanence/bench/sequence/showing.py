"""The experiment as a page with a table, and as a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remanence.bench.sequence.experiment import Cell, by_mixer, interval
from remanence.core.errors import MissingExtra

PAGE = Path("docs/benchmarks-sequence.md")
FIGURE = Path("docs/images/sequence.svg")
_NOTHING = "–"


def page(found: Mapping[str, Any], *, figure: str = "images/sequence.svg") -> str:
    """The page: what was done, the table, and how to do it again."""
    setup, machine = found["setup"], found["hardware"]
    seeds = len({cell["seed"] for cell in found["cells"]})
    steps, recall = setup["steps"], setup["recall_steps"]
    about = (
        f"Each mixer stands in the same language model: {setup['layers']} blocks of width {setup['hidden_size']}, the "
        "channel mixer as wide as makes all models equal in parameters. One model reads the bytes of "
        f"`{found['text']}` ({steps:,} steps of {setup['batch']} stretches of {setup['length']} bytes), another learns "
        f"associative recall ({recall:,} steps of {setup['recall_batch']} sequences of up to {setup['pairs']} pairs, "
        "half of them with keys that are written twice) and is asked for up to 32 pairs. Means over "
        f"{seeds} seeds, with half the width of their 95 % interval; tokens per second are of processor time. So few "
        "steps tell how fast a mixer learns, not how far it gets."
    )
    head = [
        "mixer", "parameters", "bits per byte", *(f"recall at {one}" for one in _distances(found)), "newest of two",
        "state, 128 tokens", "state, 1,024 tokens", "forward, tokens/s", "training", "decoding",
    ]  # fmt: skip
    rows = [_row(name, cells, _distances(found)) for name, cells in by_mixer(found)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    machine_line = (
        f"Version {found['version']}, torch {found['torch']}, {found['threads']} threads, {machine['cpu']}, "
        f"{machine['cores']} cores."
    )
    parts = [
        "# Sequence memories beside each other",
        textwrap.fill(about, 118),
        f"![Loss in training, recall by distance, loss against bytes of state]({figure})",
        table,
        textwrap.fill(machine_line, 118),
        "Made by `python -m remanence.bench.sequence experiment`, which `--help` explains.",
    ]
    return "\n\n".join(parts) + "\n"


def _distances(found: Mapping[str, Any]) -> list[str]:
    return list(found["cells"][0]["recall"]) if found["cells"] else []


def _row(name: str, cells: list[Cell], distances: list[str]) -> list[str]:
    def told(values: list[float], digits: int) -> str:
        mean, half = interval(values)
        return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if len(values) > 1 else "")

    recall = []
    for distance in distances:
        values = [value for cell in cells if (value := cell.recall[distance]) is not None]
        recall.append(told(values, 2) if values else _NOTHING)
    first = cells[0]
    return [
        f"`{name}`",
        f"{first.parameters:,}",
        told([cell.bits_per_byte for cell in cells], 3),
        *recall,
        told([cell.overwritten for cell in cells], 2),
        *(f"{bytes_:,}" for bytes_ in first.state_bytes.values()),
        *(
            f"{interval([cell.tokens_per_second[kind] for cell in cells])[0]:,.0f}"
            for kind in ("forward", "training", "decoding")
        ),
    ]


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Three panels in one SVG. Raises `MissingExtra` without matplotlib."""
    try:
        import matplotlib as mpl

        mpl.use("svg")
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtra("figures need matplotlib; install it with: pip install 'remanence[bench]'") from error
    # One file for one result: no date, no random names of elements.
    mpl.rcParams.update(
        {"svg.hashsalt": "remanence", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure, (loss, recall, state) = pyplot.subplots(1, 3, figsize=(13, 4.2), constrained_layout=True)
    styles = ("-", "--", "-.", ":")
    for at, (name, cells) in enumerate(by_mixer(found)):
        colour, style = f"C{at % 10}", styles[at // 10 % len(styles)]
        curves = list(zip(*(cell.losses for cell in cells), strict=True))
        steps = range(0, 10 * len(curves), 10)
        loss.plot(steps, [interval(point)[0] for point in curves], style, color=colour, label=name, linewidth=1.2)
        shown = [key for key in cells[0].recall if all(cell.recall[key] is not None for cell in cells)]
        points = [interval([cell.recall[key] or 0.0 for cell in cells]) for key in shown]
        recall.errorbar(
            shown, [mean for mean, _ in points], [half for _, half in points],
            fmt=style, color=colour, linewidth=1.2, capsize=2,
        )  # fmt: skip
        mean, half = interval([cell.bits_per_byte for cell in cells])
        state.errorbar([cells[0].state_bytes["1024"]], [mean], [half], fmt="o", color=colour, capsize=2)
    loss.set(xlabel="step", ylabel="loss, nats per byte", title="training on bytes")
    recall.set(xlabel="distance, tokens", ylabel="accuracy", title="recall", ylim=(0, 1.05))
    state.set(
        xlabel="state after 1,024 tokens, bytes", ylabel="bits per byte", title="loss against state", xscale="log"
    )
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
