"""Ending the stack, in whatever state it is: processes, link, cgroups, folder."""

import shutil
from pathlib import Path

from local_stack import node, volumes
from local_stack.cgroups import Cgroup
from local_stack.console import StackError, say, working


def remove_stack(folder: Path, cgroup: Cgroup, *, keep: tuple[Path, ...] = ()) -> None:
    """End every process of a stack, and remove all it has left on the machine."""
    if cgroup.exists():
        with working("Ending the processes of the stack"):
            cgroup.kill()
    if cgroup == node.CGROUP:
        node.remove_link()
    cgroup.remove()
    if folder.exists():
        _refuse_mounts(folder)
        volumes.wait_for_release(folder / "volumes", folder / "log" / "volumes.log")
        for entry in folder.iterdir():
            if entry not in keep:
                _remove(entry)
        if not any(folder.iterdir()):
            folder.rmdir()
    say("Nothing of the stack is left")


def _refuse_mounts(folder: Path) -> None:
    """Never delete through a mount that somebody made in the folder."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if Path(line.split()[1]).is_relative_to(folder):
            raise StackError(f"{line.split()[1]} is mounted: unmount it, then try again")


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
