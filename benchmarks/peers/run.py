"""`python -m benchmarks.peers.run`: this library and four others side by side, on this machine, in one run.

Makes an environment per system in a temporary folder (the only step that uses the network), then measures each system
in processes of its own, without a network where the system lets a process have none of its own (`unshare --net`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import remanence
from benchmarks.peers.systems import SYSTEMS
from benchmarks.peers.worker import MARKERS
from remanence.bench.datasets import data_folder
from remanence.bench.results import hardware
from remanence.stores.embedders.static import StaticEmbedder

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
SCHEMA = 1
INSTALLS: Mapping[str, tuple[str, ...]] = {
    "remanence": (".",),
    "mem0": ("mem0ai",),
    "langgraph": ("langgraph-checkpoint-sqlite",),
    "chroma": ("chromadb",),
    "lancedb": ("lancedb",),
}
"""What their users install: this is what the installed size is of."""
NEEDED: Mapping[str, tuple[str, ...]] = {"mem0": ("langchain",)}
"""What the embedding hook needs besides."""
OURS = ("numpy", "PyStemmer", "simsimd", "click", "rich")
"""What the embedder needs, installed into every environment after its size was taken."""
MAIN: Mapping[str, tuple[str, ...]] = {
    "remanence": ("numpy",),
    "mem0": ("mem0ai", "qdrant-client"),
    "langgraph": ("langgraph-checkpoint-sqlite", "langgraph-checkpoint", "sqlite-vec"),
    "chroma": ("chromadb",),
    "lancedb": ("lancedb", "pyarrow"),
}
QUIET = {
    "MEM0_TELEMETRY": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "OTEL_SDK_DISABLED": "true",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}

SYNCS = (5, 45)
"""Adds of the two processes whose calls are compared."""

Found = dict[str, Any]


class Failed(Exception):
    """A measurement did not come to a result; the message is what the system raised."""


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, without byte code."""
    return sum(
        path.lstat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyo")
    )


def scrubbed(text: str, folders: Sequence[Path]) -> str:
    """One line without the names of folders, short enough for a cell."""
    for folder in folders:
        text = text.replace(str(folder), "…")
    text = re.sub(r"store-\d+", "store", " ".join(text.split()))
    return text if len(text) <= 300 else f"{text[:299]}…"


def survived(acknowledged: Sequence[str], found: Sequence[str]) -> Found:
    """How many acknowledged turns there were, and how many of them are not found afterwards."""
    lost = set(acknowledged) - set(found)
    return {"acknowledged": len(acknowledged), "lost": len(lost)}


def tally(errors: Sequence[str], folders: Sequence[Path]) -> Found:
    """Error messages and how often each came, most frequent first, three at most."""
    counts: dict[str, int] = {}
    for error in errors:
        short = scrubbed(error, folders)
        counts[short] = counts.get(short, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:3])


def holding(folder: Path, words: Sequence[str]) -> int:
    """How many of the words stand in the bytes of any file below a folder, whatever their case."""
    left = {word.lower().encode() for word in words}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes().lower()
            left = {word for word in left if word not in data}
    return len(words) - len(left)


def attempt(measure: Callable[[], Found], folders: Sequence[Path]) -> Found:
    """What a measurement found; `cannot` with the reason where it did not come to a result."""
    try:
        return measure()
    except Failed as error:
        return {"cannot": scrubbed(str(error), folders)}


class Bench:
    """The environments and the folder that everything happens in."""

    def __init__(self, place: Path, python: str, chosen: argparse.Namespace) -> None:
        self.place = place
        self.python = python
        self.chosen = chosen
        self.folders = (
            place,
            *([chosen.environments.resolve()] if chosen.environments else []),
            ROOT,
            Path(tempfile.gettempdir()),
            Path.home(),
        )
        self.prefix = ["unshare", "--net"] if _isolates() else []
        self._folders = 0

    def install(self, name: str) -> Found:
        """Make the environment of a system; what its users would install is measured before the rest goes in."""
        env, note = self.env(name), self.env(name) / "installed.json"
        if note.is_file():
            kept: Found = json.loads(note.read_text(encoding="utf-8"))
            return kept
        subprocess.run([self.python, "-m", "venv", str(env)], check=True)
        site = next(iter(env.glob("lib/python*/site-packages")))
        before = size_of(site)
        pip = [str(env / "bin" / "python"), "-m", "pip", "install", "--quiet", "--constraint", str(REQUIREMENTS)]
        subprocess.run([*pip, *INSTALLS[name]], check=True, cwd=ROOT)
        added = size_of(site) - before
        listed = [path.name for path in site.glob("*.dist-info")]
        count = sum(not one.startswith(("pip-", "setuptools-")) for one in listed)
        subprocess.run([*pip, *NEEDED.get(name, ()), *OURS], check=True, cwd=ROOT)
        if (site / "torch").exists():
            raise SystemExit(f"installing {name} brought torch, which nothing here needs; look at requirements.txt")
        installed = {"megabytes": added / 1e6, "packages": count}
        note.write_text(json.dumps(installed), encoding="utf-8")
        return installed

    def env(self, name: str) -> Path:
        """Where the environment of a system is."""
        return (self.chosen.environments or self.place / "env").resolve() / name

    def folder(self) -> Path:
        """A new empty folder for a store."""
        self._folders += 1
        made = self.place / f"store-{self._folders}"
        made.mkdir()
        return made

    def start(
        self, name: str, folder: Path, task: str, *, under: Sequence[str] = (), **asked: Any
    ) -> subprocess.Popen[str]:
        """A worker process, run by the command `under`; its errors go nowhere but into its result."""
        home = Path(tempfile.mkdtemp(dir=self.place, prefix="home-"))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "OPENAI"))}
        environment |= {**QUIET, "HOME": str(home), "MEM0_DIR": str(home), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        asked = {"seed": self.chosen.seed, **asked}
        command = [str(self.env(name) / "bin" / "python"), "-m", "benchmarks.peers.worker"]
        return subprocess.Popen(
            [*self.prefix, *under, *command, name, str(folder), task, json.dumps(asked)],
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.place / f"{name}.log").open("a"),
            text=True,
        )

    def ask(self, name: str, folder: Path, task: str, *, limit: float = 3600, **asked: Any) -> Found:
        """The result of a task. Raises `Failed` with what the system raised."""
        process = self.start(name, folder, task, **asked)
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed(f"not done after {limit:.0f} s") from None
        return result_of(out, process.returncode)


def result_of(out: str, status: int) -> Found:
    """The result in the lines of a worker. Raises `Failed`."""
    for line in reversed(out.splitlines()):
        if not line.startswith("{"):
            continue
        data = json.loads(line)
        if "result" in data:
            result: Found = data["result"]
            return result
        if "cannot" in data or "error" in data:
            raise Failed(data.get("cannot") or data["error"])
    raise Failed(f"the process ended with status {status} and without a result")


def _isolates() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


def _line(process: subprocess.Popen[str]) -> Found:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.startswith("{"):
            data: Found = json.loads(line)
            if "error" in data and "failed" not in data:
                raise Failed(data["error"])
            return data
    raise Failed(f"the process ended with status {process.wait()}")


def _tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(text + "\n")
        process.stdin.flush()
    except BrokenPipeError as error:
        raise Failed(f"the process ended with status {process.wait()}") from error


@contextmanager
def _ended(*processes: subprocess.Popen[str]) -> Iterator[None]:
    """However it ends, no process is left."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def import_time(bench: Bench, name: str) -> Found:
    """Median of five fresh processes, after one that wrote the byte code."""
    code = f"import time; a = time.perf_counter(); {SYSTEMS[name].imports}; print(time.perf_counter() - a)"
    command = [*bench.prefix, str(bench.env(name) / "bin" / "python"), "-c", code]
    environment = {"PATH": os.environ["PATH"], "HOME": str(bench.place), "MEM0_DIR": str(bench.place / "mem0"), **QUIET}
    times = []
    for _ in range(6):
        done = subprocess.run(command, env=environment, cwd=bench.place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(done.stderr.strip().splitlines()[-1])
        times.append(float(done.stdout.split()[-1]) * 1000)
    return {"ms": statistics.median(times[1:]), "slowest_ms": max(times[1:]), "statement": SYSTEMS[name].imports}


def speed(bench: Bench, name: str) -> Found:
    """Adding and searching generated turns, then the same store in a fresh process."""
    folder, chosen = bench.folder(), bench.chosen
    measured = bench.ask(name, folder, "speed", records=chosen.records, queries=chosen.queries, adds=chosen.adds)
    measured |= bench.ask(name, folder, "fresh", records=chosen.records)
    shutil.rmtree(folder)
    return measured


def quality(bench: Bench, name: str) -> Found:
    """Evidence recall on LoCoMo."""
    data = str(data_folder(bench.chosen.data).resolve())
    return bench.ask(name, bench.folder(), "quality", data=data, questions=bench.chosen.questions)


def killed(bench: Bench, name: str) -> Found:
    """`kill -9` at a random moment of adding, again and again on the same store; then a fresh process looks."""
    folder, rng = bench.folder(), random.Random(bench.chosen.seed)
    bench.ask(name, folder, "setup")
    acknowledged: list[str] = []
    opened, lost, unfound, problems = 0, 0, 0, []
    for trial in range(bench.chosen.trials):
        process = bench.start(name, folder, "adder", adds=10_000, start=1_000 + trial * 10_000, seconds=120)
        with _ended(process):
            try:
                _line(process)
                _tell(process, "go")
                for _ in range(rng.randint(5, 40)):
                    acknowledged += [value for key, value in _line(process).items() if key == "acknowledged"]
            except Failed as error:
                problems.append(str(error))
                continue
            time.sleep(rng.random() * 0.05)
            process.kill()
            assert process.stdout is not None
            out = process.stdout.read()
            rows = [json.loads(line) for line in out.splitlines() if line.startswith("{") and line.endswith("}")]
            acknowledged += [row["acknowledged"] for row in rows if "acknowledged" in row]
        try:
            after = bench.ask(name, folder, "lister", limit=180, last=acknowledged[-1])
        except Failed as error:
            problems.append(str(error))
            continue
        opened += 1
        lost = max(lost, survived(acknowledged, after["keys"])["lost"])
        unfound += not after["searched"]
    return {
        "trials": bench.chosen.trials,
        "opened_after": opened,
        "acknowledged": len(acknowledged),
        "lost": lost,
        "last_not_found_by_search": unfound,
        "errors": tally(problems, bench.folders),
    }


def together(bench: Bench, name: str) -> Found:
    """Two processes that have the store open and add at the same time; then a fresh process counts."""
    folder, adds = bench.folder(), bench.chosen.adds
    bench.ask(name, folder, "setup")
    rows: list[list[Found]] = [[], []]
    refused: list[str] = []
    writers = [bench.start(name, folder, "adder", adds=adds, start=1_000 + at * 10_000, seconds=120) for at in (0, 1)]
    with _ended(*writers):
        ready = []
        for writer in writers:
            try:
                _line(writer)
                ready.append(writer)
            except Failed as error:
                refused.append(str(error))
        for writer in ready:
            _tell(writer, "go")

        def collect(writer: subprocess.Popen[str], into: list[Found]) -> None:
            assert writer.stdout is not None
            into += [json.loads(line) for line in writer.stdout if line.startswith("{")]

        threads = [threading.Thread(target=collect, args=pair) for pair in zip(ready, rows[: len(ready)], strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=300)
    every = [row for part in rows for row in part]
    acknowledged = [row["acknowledged"] for row in every if "acknowledged" in row]
    errors = [row["error"] for row in every if "error" in row]
    after = bench.ask(name, folder, "lister", limit=180)
    return {
        "writers_opened": len(ready),
        "attempted": 2 * adds,
        **survived(acknowledged, after["keys"]),
        "failed": sum("failed" in row for row in every),
        "errors": tally([*refused, *errors], bench.folders),
    }


def read_your_writes(bench: Bench, name: str, *, strong: bool = False) -> Found:
    """One process adds, another that has had the store open all along searches at once for it."""
    folder, rounds = bench.folder(), bench.chosen.trials
    bench.ask(name, folder, "setup")
    seen = bench.start(name, folder, "reader", strong=strong)
    writer: subprocess.Popen[str] | None = None
    found, listed = 0, 0
    try:
        _line(seen)
        writer = bench.start(name, folder, "one_by_one", adds=rounds, start=1_000)
        _line(writer)
        for _ in range(rounds):
            _tell(writer, "next")
            _tell(seen, json.dumps(_line(writer)))
            answer = _line(seen)
            found += answer["found"]
            listed += answer["listed"]
    finally:
        with _ended(seen, *([] if writer is None else [writer])):
            pass
    return {"found": found, "listed": listed, "of": rounds}


def syncs(bench: Bench, name: str) -> Found:
    """How often one add has the system write through to the disk: more adds against fewer, as strace counts."""
    if shutil.which("strace") is None:
        raise Failed("strace is not installed here")
    folder, counts = bench.folder(), []
    bench.ask(name, folder, "setup")
    for at, adds in enumerate((SYNCS[0], SYNCS[1])):
        trace = bench.place / f"trace-{name}-{at}"
        under = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,msync,sync_file_range", "-o", str(trace)]
        bench.ask(name, folder, "few", under=under, adds=adds, start=1_000 + at * 1_000)
        counts.append(through(trace.read_text(encoding="utf-8", errors="replace")))
    return {"per_add": (counts[1] - counts[0]) / (SYNCS[1] - SYNCS[0])}


def through(trace: str) -> int:
    """Calls in an strace log that were carried out; one that is told in two lines counts once."""
    return sum(" = 0" in line for line in trace.splitlines() if "sync" in line)


def deleted(bench: Bench, name: str) -> Found:
    """Of ten deleted texts, how many the files still hold: before, after the delete, after what purges."""
    folder = bench.folder()
    bench.ask(name, folder, "setup", marked=True)
    by = "files"

    def look() -> int:
        if by == "files":
            return holding(folder, MARKERS)
        return int(bench.ask(name, folder, "versions")["kept"])

    before = look()
    if before < len(MARKERS):
        try:
            bench.ask(name, folder, "versions")
        except Failed:
            raise Failed(
                f"only {before} of {len(MARKERS)} stored texts can be read in the files to begin with"
            ) from None
        by = "versions"
    bench.ask(name, folder, "delete", purge=False)
    after = look()

    def purge() -> Found:
        bench.ask(name, folder, "delete", purge=True)
        return {"left": look()}

    return {"of": len(MARKERS), "by": by, "after_delete": after, "after_purge": attempt(purge, bench.folders)}


MEASURES: Mapping[str, Callable[[Bench, str], Found]] = {
    "killed": killed,
    "two_writers": together,
    "read_your_writes": read_your_writes,
    "deleted": deleted,
    "syncs": syncs,
    "import": import_time,
    "speed": speed,
    "locomo": quality,
}


REPEATED = ("speed",)
"""Measures that are taken in rounds, the systems taking turns: the disk is not equally fast all the time."""


def measure(bench: Bench, names: Sequence[str], say: Callable[[str], None]) -> Found:
    """All measures of all systems: one measure after the other, and the systems next to each other in each."""
    systems: dict[str, Found] = {}
    for name in names:
        say(f"installing {name}")
        installed = bench.install(name)
        described = bench.ask(name, bench.folder(), "describe")
        packages = described.pop("packages")
        versions = {one: packages[one] for one in MAIN[name] if one in packages}
        systems[name] = {"title": SYSTEMS[name].title, **described, "versions": versions, "installed": installed}
    for measured, task in MEASURES.items():
        if measured not in (bench.chosen.measure or MEASURES):
            continue
        taken: dict[str, list[Found]] = {name: [] for name in names}
        for _ in range(bench.chosen.rounds if measured in REPEATED else 1):
            for name in names:
                load = round(os.getloadavg()[0], 2)
                say(f"{measured}: {name} (load {load})")
                found = attempt(lambda task=task, name=name: task(bench, name), bench.folders)  # type: ignore[misc]
                taken[name].append({**found, "load_before": load})
                say(f"  {json.dumps(found)}")
        for name, rounds in taken.items():
            systems[name][measured] = middle(rounds)
            if measured in REPEATED and "cannot" not in systems[name][measured]:
                systems[name][measured]["add_p50_of_rounds"] = [one["add"]["p50"] for one in rounds]
    if "read_your_writes" in systems.get("lancedb", {}):
        strong = attempt(lambda: read_your_writes(bench, "lancedb", strong=True), bench.folders)
        systems["lancedb"]["read_your_writes"]["strong"] = strong
    return systems


def merged(old: Found, new: Found) -> Found:
    """`new` with the measures of `old` that it did not take again. Raises `ValueError` unless all else is the same."""
    differ = [key for key in new if key != "systems" and old.get(key) != new[key]]
    differ += [
        name for name, system in new["systems"].items() if _made_of(old["systems"].get(name)) != _made_of(system)
    ]
    if differ:
        raise ValueError(f"the older results differ in {', '.join(differ)}; measure everything again")
    both = {name: old["systems"].get(name, {}) | new["systems"].get(name, {}) for name in SYSTEMS}
    return {**new, "systems": {name: system for name, system in both.items() if system}}


def _made_of(system: Found | None) -> Found:
    return {key: (system or {}).get(key) for key in ("python", "sqlite", "versions")}


def middle(rounds: Sequence[Found]) -> Found:
    """The median of each number over the rounds; a round that came to no result is the result."""
    for one in rounds:
        if "cannot" in one:
            return one
    if len(rounds) == 1:
        return dict(rounds[0])
    return {
        key: middle([one[key] for one in rounds])
        if isinstance(value, Mapping)
        else statistics.median(one[key] for one in rounds)
        for key, value in rounds[0].items()
    }


def rounded(value: Any) -> Any:
    """The same with floats of four digits after the point."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return {key: rounded(part) for key, part in value.items()} if isinstance(value, Mapping) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and write its file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.run", description=__doc__)
    parser.add_argument("--data", help="folder with locomo/ (default: $REMANENCE_BENCH_DATA)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "peers.json")
    parser.add_argument("--python", default=sys.executable, help="interpreter for the environments")
    parser.add_argument("--system", action="append", choices=list(SYSTEMS), help="only this one; may be repeated")
    parser.add_argument("--measure", action="append", choices=list(MEASURES), help="only this one; may be repeated")
    parser.add_argument("--keep", action="store_true", help="keep the other measures that the file has")
    parser.add_argument("--environments", type=Path, help="folder that keeps them for the next run")
    parser.add_argument("--records", type=int, default=10_000, help="generated turns (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=100, help="timed searches (default: %(default)s)")
    parser.add_argument("--adds", type=int, default=100, help="timed adds, and adds per writer (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of the times (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=20, help="kills, and rounds of reading (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=0, help="of LoCoMo; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    data_folder(chosen.data)
    with tempfile.TemporaryDirectory(prefix="remanence-peers-", ignore_cleanup_errors=True) as place:
        bench = Bench(Path(place), chosen.python, chosen)
        names = chosen.system or list(SYSTEMS)
        systems = measure(bench, names, lambda line: print(line, file=sys.stderr, flush=True))
        data = {
            "schema": SCHEMA,
            "version": remanence.__version__,
            "seed": chosen.seed,
            "embedder": StaticEmbedder().space.key,
            "hardware": asdict(hardware()),
            "network": "none" if bench.prefix else "not cut off; telemetry switched off by settings",
            "records": chosen.records,
            "queries": chosen.queries,
            "adds": chosen.adds,
            "systems": systems,
        }
    data = rounded(data)
    if chosen.keep and chosen.out.is_file():
        data = merged(json.loads(chosen.out.read_text(encoding="utf-8")), data)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
