"""Python packages, fetched by their hashes: for images, and for the stack's own programs."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local_stack import settings
from local_stack.processes import run

_DOWNLOAD = ("/usr/bin/python3", "-m", "pip", "download")
_INSTALL = (sys.executable, "-m", "pip", "install", "--no-compile")
_QUIET = ("--quiet", "--disable-pip-version-check")
_FOR_IMAGES = ("--only-binary=:all:", "--python-version=3.11", "--implementation=cp")


def fetch(requirements: Path, log: Path, *, source: bool = False) -> Path:
    """Download what a file lists with hashes, once, and name the folder.

    Args:
        requirements: The file; its content names the folder.
        log: Where pip's messages go.
        source: Take source archives as well, for data that is published so.
    """
    kinds = () if source else _FOR_IMAGES
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    return _once("wheels", digest[:16], [*_DOWNLOAD, *kinds, "--dest"], requirements, log)


def install(requirements: Path, log: Path) -> Path:
    """Install what a file lists with hashes, once for this Python, and name the folder.

    It is for `PYTHONPATH`: the Python of the machine, or of the repository, stays as it is.
    """
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    return _once("packages", digest[:16], [*_INSTALL, "--target"], requirements, log)


def _once(kind: str, name: str, command: Sequence[str], requirements: Path, log: Path) -> Path:
    """Let pip fill a folder of the cache, which has its name when it is complete."""
    folder = settings.CACHE / kind / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        words = (*_QUIET, "--require-hashes", "--no-deps", f"--requirement={requirements}")
        run([*command, unfinished, *words], log=log)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def place(folder: Path, destination: Path) -> None:
    """Put downloaded files where a build finds them; links do, on one file system."""
    if destination.exists():
        shutil.rmtree(destination)
    try:
        shutil.copytree(folder, destination, copy_function=os.link)
    except OSError:
        shutil.copytree(folder, destination, dirs_exist_ok=True)
