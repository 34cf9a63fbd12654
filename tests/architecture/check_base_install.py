"""Install the base package into a fresh environment, measure what came with it, and use it there.

Not a test, because tests never touch the network and this asks pip for packages: `make base-install` runs it, and
`make test` and .ci/run with it. Ends with status 1 and one line per broken promise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 120_000_000
DEMO_SECONDS = 60
FORBIDDEN = {"torch", "transformers", "sentence_transformers", "fastapi", "uvicorn", "mcp", "psycopg"}

USE_IT = """
import json, sys
from remanence import Memory
with_text = Memory()
with_text.add("The spare key is under the blue flower pot", user_id="ana")
with_text.add("Lunch was soup", user_id="ana")
found = with_text.search("where is the spare key?", user_id="ana")["results"]
with_text.close()
print(json.dumps({"first": found[0]["memory"], "modules": sorted(name.partition(".")[0] for name in sys.modules)}))
"""


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def check(home: Path) -> list[str]:
    """Make an environment below `home`, install the checkout into it, and return what does not hold."""
    broken: list[str] = []
    venv.create(home / "env", with_pip=True)
    scripts = home / "env" / ("Scripts" if os.name == "nt" else "bin")
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(home / "env")}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"REMANENCE_DIR": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(*command: str | Path, seconds: float | None = None) -> str:
        return subprocess.run(
            [str(part) for part in command],
            cwd=ROOT if "pip" in command else home,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds,
        ).stdout

    before = size(packages)
    run(scripts / "python", "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", ".")
    added = size(packages) - before
    listed = json.loads(run(scripts / "python", "-m", "pip", "list", "--format", "json"))
    names = sorted(item["name"] for item in listed if item["name"] not in {"pip", "setuptools"})
    print(f"base install: {added / 1e6:.1f} MB in {len(names)} packages: {', '.join(names)}")
    if added >= LIMIT_BYTES:
        broken.append(f"the base install takes {added:,} bytes, the limit is {LIMIT_BYTES:,}")
    if heavy := {name.replace("-", "_").lower() for name in names} & FORBIDDEN:
        broken.append(f"the base install brings {sorted(heavy)}")
    source = ROOT / "src" / "remanence"
    shipped = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    broken += [f"the wheel lacks {name}" for name in sorted(shipped) if not (packages / "remanence" / name).is_file()]
    broken += [] if Path("py.typed") in shipped else ["py.typed is gone: type checkers would ignore the package"]

    used = json.loads(run(scripts / "python", "-c", USE_IT))
    if "blue flower pot" not in used["first"]:
        broken.append(f"the first search in a fresh install found {used['first']!r}")
    if heavy := set(used["modules"]) & FORBIDDEN:
        broken.append(f"a first search loads {sorted(heavy)}")

    print(run(scripts / "remanence", "--version").strip())
    start = time.perf_counter()
    try:
        run(scripts / "remanence", "demo", seconds=DEMO_SECONDS)
    except subprocess.TimeoutExpired:
        broken.append(f"the demo takes more than {DEMO_SECONDS} seconds")
    print(f"demo: {time.perf_counter() - start:.1f} s")
    return broken


def main() -> int:
    """Run the check in a temporary folder; the exit status."""
    with tempfile.TemporaryDirectory(prefix="remanence-base-") as home:
        try:
            broken = check(Path(home))
        except subprocess.CalledProcessError as error:
            broken = [f"{' '.join(error.cmd)} ended with status {error.returncode}\n{error.stdout}"]
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
