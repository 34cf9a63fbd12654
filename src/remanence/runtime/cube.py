"""A scope as a `.cube`: a ZIP of JSON lines with a manifest that names every file and its hash. Never pickle.

    manifest.json   {"format": "remanence-cube", "version": 1, "scope": {…}, "files": {"records.jsonl": …}}
    records.jsonl   one line per version, as in `transfer`
    edges.jsonl     one line per link

The same memories give the same bytes, but for `exported_at` in the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.core.scope import Scope
from remanence.runtime import transfer
from remanence.runtime.adding import Progress
from remanence.runtime.engine import Engine

__all__ = ["SUFFIX", "export", "import_", "is_cube"]

FORMAT: Final = "remanence-cube"
VERSION: Final = 1
SUFFIX: Final = ".cube"
MANIFEST: Final = "manifest.json"
FILES: Final = {"version": "records.jsonl", "edge": "edges.jsonl"}

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MOST_MANIFEST: Final = 1 << 24
_PORTION: Final = 1 << 20


def export(engine: Engine, target: str | os.PathLike[str], scope: Scope) -> dict[str, Any]:
    """Write a scope as a cube; the path is replaced only once everything is written. Answer: the manifest.

    Raises `InvalidInput` when the path cannot be written.
    """
    path = Path(target).expanduser()
    part = path.with_name(path.name + ".part")
    counts = {"records": 0, "derived": 0, "versions": 0, "edges": 0}
    try:
        with tempfile.TemporaryDirectory(prefix="remanence-cube-") as folder:
            bodies = {name: Path(folder) / name for name in FILES.values()}
            streams = {kind: bodies[name].open("wb") for kind, name in FILES.items()}
            try:
                for line in transfer.lines(engine, scope, counts):
                    streams[line["type"]].write(transfer.encoded(line))
            finally:
                for stream in streams.values():
                    stream.close()
            manifest = {
                "format": FORMAT,
                "version": VERSION,
                "scope": dict(scope.items()),
                **counts,
                "exported_at": engine.now().isoformat(),
                "files": {name: _measured(body) for name, body in bodies.items()},
            }
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=1) + "\n")
                for name, body in bodies.items():
                    with body.open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as packed:
                        shutil.copyfileobj(source, packed)
        os.replace(part, path)
    except OSError as error:
        raise InvalidInput(f"cannot write to {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return {**manifest, "path": str(path)}


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _measured(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def is_cube(stream: BinaryIO) -> bool:
    """Whether a file is a ZIP with a manifest."""
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            return MANIFEST in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    finally:
        stream.seek(0)


def import_(
    engine: Engine, stream: BinaryIO, name: str, scope: Scope | None, progress: Progress | None
) -> dict[str, Any]:
    """Store what a cube holds, once every byte of it is known to be what the manifest says.

    Raises `ImportFormatError`: a damaged or incomplete cube, or one of another version; nothing was stored.
    """
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive, tempfile.TemporaryFile() as export:
            manifest = _manifest(archive, name)
            header = {**manifest, "format": transfer.FORMAT, "version": transfer.VERSION}
            digest = hashlib.sha256()
            with tempfile.TemporaryFile() as body:
                for file in FILES.values():
                    _copy(archive, file, manifest["files"], body, digest, name)
                export.write(json.dumps({**header, "sha256": digest.hexdigest()}).encode("ascii") + b"\n")
                body.seek(0)
                shutil.copyfileobj(body, export)
            export.seek(0)
            return transfer.import_(engine, export, name, scope, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ImportFormatError(f"{name} is a damaged cube ({error}); nothing was stored") from error


def _manifest(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        if archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST:
            raise ImportFormatError(f"{name} has a manifest of more than {_MOST_MANIFEST:,} bytes; nothing was stored")
        manifest = json.loads(archive.read(MANIFEST))
    except (KeyError, ValueError, RecursionError) as error:
        if isinstance(error, ImportFormatError):
            raise
        raise ImportFormatError(f"{name} is no cube: its manifest cannot be read ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ImportFormatError(f"{name} is no cube: its manifest does not say {FORMAT!r}")
    if manifest.get("version") != VERSION:
        raise ImportFormatError(f"{name} has cube version {manifest.get('version')!r}; this version reads {VERSION}")
    files = manifest.get("files")
    if not isinstance(files, Mapping) or set(files) != set(FILES.values()):
        held = ", ".join(sorted(files)) if isinstance(files, Mapping) else "none"
        raise ImportFormatError(f"{name} holds the files {held}; this version reads {', '.join(FILES.values())}")
    return manifest


def _copy(
    archive: zipfile.ZipFile, file: str, listed: Mapping[str, Any], target: BinaryIO, whole: Any, name: str
) -> None:
    """Copy one file and check it; never more bytes of it than the manifest says."""
    expected = listed[file] if isinstance(listed[file], Mapping) else {}
    size, own = expected.get("bytes"), hashlib.sha256()
    if file not in archive.namelist():
        raise ImportFormatError(f"{name} lacks the file {file} that its manifest names; nothing was stored")
    copied = 0
    with archive.open(file) as source:
        while portion := source.read(_PORTION):
            copied += len(portion)
            if not isinstance(size, int) or copied > size:
                break
            own.update(portion)
            whole.update(portion)
            target.write(portion)
    if copied != size or own.hexdigest() != expected.get("sha256"):
        raise ImportFormatError(f"{name}: {file} is damaged, it is not what the manifest says; nothing was stored")
