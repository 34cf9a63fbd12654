"""`python -m remanence.bench.sequence.speed`: what the chunked form of every sequence operation saves.

Every operation in `kernels.sequence` that has a chunked form runs on its own examples, beside its definition token by
token: outputs alone, and outputs with all gradients, the two forms taking turns. Then the time of one more
token after a short and after a long sequence, which does not depend on the length where the state has a fixed size, and
the memory that the chunked form takes, with gradients, at growing lengths in a process of its own.

Times are CPU time of one thread, in milliseconds; medians. An operation whose forms do not agree is not timed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import pkgutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import remanence
from remanence.bench.results import Hardware, hardware, rounded
from remanence.core.errors import ImportFormatError, InvalidInput, RemanenceError
from remanence.kernels import sequence
from remanence.kernels.sequence.forms import Call, Example, Op

SCHEMA = 1
BEGIN, END = "<!-- speed: made by python -m remanence.bench.sequence.speed -->", "<!-- end of speed -->"
"""Between which a page has the table."""
LENGTH = 2048
AFTER = (128, 8192)
"""Tokens that were read before the one whose time is taken."""
PEAKS = (4096, 8192, 16384)
TOLERANCE = 1e-7
"""How far outputs of the two forms may be apart in float64, as a share of the largest."""
_STEPS = 200


@dataclass(frozen=True, slots=True)
class Ratio:
    """Milliseconds of the recurrent and of the chunked form, and how many times faster the second is."""

    recurrent_ms: float
    chunk_ms: float
    faster: float


@dataclass(frozen=True, slots=True)
class Timing:
    """One operation on one of its examples.

    `error`: the largest difference of the outputs in float64, as a share of the largest. `step_ms`: one token after so
    many; None where no state goes on. `step_growth`: the last of these over the first. `peak_mib`: memory at a length
    beyond that of the process before. `exponent`: p where it grows like length^p from the first length to the last; at
    least a MiB is counted.
    """

    operation: str
    example: str
    error: float
    forward: Ratio
    with_gradients: Ratio
    step_ms: dict[str, float] | None
    step_growth: float | None
    peak_mib: dict[str, float]
    exponent: float


@dataclass(frozen=True, slots=True)
class SequenceSpeed:
    """All that was measured."""

    version: str
    torch: str
    hardware: Hardware
    length: int
    repeats: int
    timings: tuple[Timing, ...]


def operations() -> dict[str, Op[..., Any]]:
    """Every operation in a module of `kernels.sequence` that has a chunked form, by name."""
    found: dict[str, Op[..., Any]] = {}
    for module in pkgutil.iter_modules(sequence.__path__, f"{sequence.__name__}."):
        for one in vars(importlib.import_module(module.name)).values():
            if isinstance(one, Op) and one.chunk is not None:
                found[one.name] = one
    return dict(sorted(found.items()))


def run(
    length: int = LENGTH,
    repeats: int = 5,
    only: str | None = None,
    peaks: Sequence[int] = PEAKS,
    report: Callable[[str], None] = lambda line: None,
) -> SequenceSpeed:
    """Measure all operations, or that of one name; `report` is told each row as soon as there is one.

    Raises `InvalidInput` for a name or a size that is none.
    """
    if length < 2 or repeats < 1:
        raise InvalidInput(f"length {length} must be at least 2 and repeats {repeats} at least 1")
    found = operations()
    if only is not None and only not in found:
        raise InvalidInput(f"there is no operation {only!r} with a chunked form; there are {', '.join(found)}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        timings = []
        for op in found.values() if only is None else [found[only]]:
            for name, example in op.examples.items():
                timings.append(measure(op, name, example, length, repeats, peaks))
                report(row(timings[-1]))
    finally:
        torch.set_num_threads(threads)
    return SequenceSpeed(remanence.__version__, torch.__version__, hardware(), length, repeats, tuple(timings))


def measure(
    op: Op[..., Any], name: str, example: Example, length: int, repeats: int, peaks: Sequence[int] = PEAKS
) -> Timing:
    """One operation on one example. Raises `InvalidInput` if its forms do not agree."""
    call = drawn(example, length)
    forms = {form: op.in_form(form) for form in ("recurrent", "chunk")}
    with torch.no_grad():
        error = apart(op, doubled(call))
        if not error < TOLERANCE:
            raise InvalidInput(f"{op.name} on {name}: the forms differ by {error:.1e} of the largest output; not timed")
        forward = compare({at: _bound(form, call) for at, form in forms.items()}, repeats)
    gradients = compare({at: _bound(form, call, gradients=True) for at, form in forms.items()}, repeats)
    steps = {str(tokens): step(op, example, tokens) for tokens in AFTER} if call.state else None
    peak = {str(tokens): mib for tokens, mib in zip(peaks, peak_mib(op.name, name, peaks), strict=True)}
    used = list(peak.values())
    return Timing(
        operation=op.name,
        example=name,
        error=error,
        forward=forward,
        with_gradients=gradients,
        step_ms=steps,
        step_growth=steps[str(AFTER[-1])] / steps[str(AFTER[0])] if steps else None,
        peak_mib=peak,
        exponent=math.log(max(used[-1], 1) / max(used[0], 1)) / math.log(peaks[-1] / peaks[0]),
    )


def drawn(example: Example, length: int) -> Call:
    """The same inputs at every call."""
    return example(length, torch.Generator().manual_seed(length))


def doubled(call: Call) -> Call:
    """The same inputs in float64."""
    return moved(call, torch.float64)


def moved(call: Call, where: torch.dtype | str) -> Call:
    """The same inputs on another device or in another type."""
    return replace(
        call,
        args=tuple(one.to(where) for one in call.args),
        kwargs={name: one.to(where) if isinstance(one, Tensor) else one for name, one in call.kwargs.items()},
    )


def apart(op: Op[..., Any], call: Call, form: str = "chunk") -> float:
    """The largest difference of a form's outputs from the recurrent one's, as a share of the largest output."""
    wanted, found = (output(op.in_form(one)(*call.args, **call.kwargs)) for one in ("recurrent", form))
    return float((wanted - found).abs().max() / wanted.abs().max())


def output(result: Any) -> Tensor:
    """o of what an operation returned."""
    first = result if isinstance(result, Tensor) else result[0]
    if not isinstance(first, Tensor):
        raise InvalidInput(f"an operation returned {type(first).__name__} where its outputs should be")
    return first


def compare(runs: dict[str, Callable[[], object]], repeats: int) -> Ratio:
    """Medians of both forms, which take turns after a first round that does not count."""
    seconds: dict[str, list[float]] = {form: [] for form in runs}
    for turn in range(repeats + 1):
        for form, function in runs.items():
            began = time.process_time()
            function()
            if turn:
                seconds[form].append(time.process_time() - began)
    recurrent, chunk = (statistics.median(seconds[form]) * 1000 for form in ("recurrent", "chunk"))
    return Ratio(recurrent, chunk, recurrent / chunk)


def step(op: Op[..., Any], example: Example, tokens: int) -> float:
    """Milliseconds of one token, token by token, after so many."""
    call, one = drawn(example, tokens), drawn(example, 1)
    with torch.no_grad():
        state = op.in_form("chunk")(*call.args, **call.kwargs)[1]
        kwargs = {**one.kwargs, one.state: state}
        seconds = []
        for _ in range(_STEPS):
            began = time.process_time()
            op.recurrent(*one.args, **kwargs)
            seconds.append(time.process_time() - began)
    return statistics.median(seconds) * 1000


def peak_mib(operation: str, example: str, lengths: Sequence[int]) -> list[float]:
    """MiB that a process of its own grows by at its highest, for each of the growing lengths."""
    command = [
        sys.executable,
        "-m",
        "remanence.bench.sequence.speed",
        "--peak",
        json.dumps([operation, example, *lengths]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InvalidInput(f"the process that measures memory failed: {done.stderr.strip()[-500:]}")
    return [float(one) for one in json.loads(done.stdout)]


def own_peak(operation: str, example: str, lengths: Sequence[int]) -> list[float]:
    """What `peak_mib` has measured in its process."""
    torch.set_num_threads(1)
    op = operations()[operation]
    form, inputs = op.in_form("chunk"), op.examples[example]
    _bound(form, drawn(inputs, 64), gradients=True)()
    before, grown = _highest(), []
    for length in lengths:
        _bound(form, drawn(inputs, length), gradients=True)()
        grown.append((_highest() - before) / 2**10)
    return grown


def _highest() -> int:
    """KiB; what `resource` tells would count the process that started this one."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise InvalidInput("this system has no /proc/self/status, from which the highest memory of a process is read")
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")))


def _bound(form: Callable[..., Any], call: Call, *, gradients: bool = False) -> Callable[[], object]:
    """A call without arguments: the outputs, or these and the gradients of all inputs from random ones."""
    if not gradients:
        return lambda: form(*call.args, **call.kwargs)
    call = replace(
        call,
        args=tuple(one.clone().requires_grad_() for one in call.args),
        kwargs={name: _leaf(one) for name, one in call.kwargs.items()},
    )
    leaves = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, Tensor) and one.requires_grad]

    def both() -> object:
        o = output(form(*call.args, **call.kwargs))
        return torch.autograd.grad(o, leaves, torch.ones_like(o), allow_unused=True)

    return both


def _leaf(value: Any) -> Any:
    return value.clone().requires_grad_() if isinstance(value, Tensor) and value.is_floating_point() else value


def save(measured: SequenceSpeed, path: Path) -> None:
    """Write the measurement as JSON; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"schema": SCHEMA, **rounded(asdict(measured), ".4g")}
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load(path: Path) -> SequenceSpeed:
    """What `save` wrote. Raises `ImportFormatError` for a file that cannot be read or is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if (schema := data.pop("schema")) != SCHEMA:
            raise ImportFormatError(f"{path} has schema {schema}; this version reads {SCHEMA}")
        timings = tuple(
            Timing(**{**one, **{kind: Ratio(**one[kind]) for kind in ("forward", "with_gradients")}})
            for one in data["timings"]
        )
        return SequenceSpeed(**{**data, "hardware": Hardware(**data["hardware"]), "timings": timings})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImportFormatError(f"{path} holds no timings of sequence operations: {error}") from error


def render(measured: SequenceSpeed) -> str:
    """A Markdown table: milliseconds token by token and by chunks, growth of a step, and of memory with length."""
    machine = measured.hardware
    lines = [
        f"{measured.length:,} tokens, one thread, torch {measured.torch}, version {measured.version}, {machine.cpu}, "
        f"{machine.cores} cores.",
        "",
        "| operation | example | outputs, ms | × | with gradients, ms | × | step | memory |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *map(row, measured.timings)])


def row(one: Timing) -> str:
    """A line of that table."""
    forward, gradients = one.forward, one.with_gradients
    growth = "" if one.step_growth is None else f"×{one.step_growth:.2f}"
    return (
        f"| {one.operation} | {one.example} | {forward.recurrent_ms:.1f} → {forward.chunk_ms:.1f} |"
        f" {forward.faster:.1f} | {gradients.recurrent_ms:.0f} → {gradients.chunk_ms:.1f} |"
        f" {gradients.faster:.1f} | {growth} | T^{one.exponent:.2f} |"
    )


def filled(page: str, measured: SequenceSpeed) -> str:
    """A page with the table between its two markers. Raises `InvalidInput` for a page without them."""
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise InvalidInput(f"the page lacks the lines {BEGIN!r} and {END!r}; put them where the table belongs")
    return f"{before}{BEGIN}\n\n{render(measured)}\n\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for a size or an operation that is none, or forms that do not agree."""
    parser = argparse.ArgumentParser(
        prog="python -m remanence.bench.sequence.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="of each timing; default: %(default)s")
    parser.add_argument("--only", help="the name of one operation")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--read", type=Path, help="JSON file to take, in place of measuring")
    parser.add_argument("--page", type=Path, help=f"page to put the table into, between {BEGIN} and {END}")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.peak:
        operation, example, *lengths = json.loads(chosen.peak)
        print(json.dumps(own_peak(operation, example, lengths)))
        return 0
    try:
        if chosen.read is None:
            measured = run(chosen.length, chosen.repeats, chosen.only, report=lambda line: print(line, file=sys.stderr))
        else:
            measured = load(chosen.read)
        if chosen.page is not None:
            chosen.page.write_text(filled(chosen.page.read_text(encoding="utf-8"), measured), encoding="utf-8")
    except RemanenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.out is not None:
        save(measured, chosen.out)
    print(render(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
