"""A real table to compute on: flights that left New York in 2013, as PyPI publishes it."""

import io
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from local_stack import settings, wheels
from local_stack.services import Files

_REQUIREMENTS = settings.REPOSITORY / "hack/data/requirements.txt"
_TABLE = "flights.csv"


def ensure_dataset(files: Files, log: Path) -> str:
    """Put the tables among the served files and say the URL of the largest."""
    if not (files.folder / _TABLE).exists():
        (archive,) = wheels.fetch(_REQUIREMENTS, log, source=True).glob("*.tar.gz")
        tables = _tables(archive)
        for name in sorted(tables, key=lambda name: name == _TABLE):  # last: it stands for all
            unfinished = files.folder / f".{name}"
            unfinished.write_bytes(tables[name])
            unfinished.rename(files.folder / name)
    return f"{files.url.rstrip('/')}/{_TABLE}"


def _tables(archive: Path) -> dict[str, bytes]:
    """Read all tables, the zipped ones too."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as members:
        for member in members:
            path, content = PurePosixPath(member.name), members.extractfile(member)
            if content is None:
                continue
            if path.suffix == ".csv":
                found[path.name] = content.read()
            elif path.name.endswith(".csv.zip"):
                with zipfile.ZipFile(io.BytesIO(content.read())) as zipped:
                    found[path.stem] = zipped.read(path.stem)
    return found
