"""Python packages for images, fetched outside so that builds need no network."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from local_stack import settings
from local_stack.processes import run

_PIP = ("/usr/bin/python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
_FOR_IMAGES = ("--only-binary=:all:", "--python-version=3.11", "--implementation=cp")


def fetch(requirements: Path, log: Path, *, source: bool = False) -> Path:
    """Download what a file lists with hashes, once, and name the folder.

    Args:
        requirements: The file; its content names the folder.
        log: Where pip's messages go.
        source: Take source archives as well, for data that is published so.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = settings.CACHE / "wheels" / digest[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        kinds = () if source else _FOR_IMAGES
        words = ("--require-hashes", "--no-deps", f"--dest={unfinished}", *kinds)
        run([*_PIP, *words, f"--requirement={requirements}"], log=log)
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
