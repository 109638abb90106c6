"""The cgroup that holds everything the stack runs: its own processes, and all pods.

It is how the stack is found again and ended, whatever became of the files that describe it.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from local_stack.console import StackError

_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
_KILL_LIMIT = 30.0
_REAPING_LIMIT = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Cgroup:
    """One group of that name in each hierarchy of the machine (there is one in version 2)."""

    name: str

    @property
    def system(self) -> Path:
        """The part for the stack's own processes, in the hierarchy that keeps track of them."""
        return _tracking(self._hierarchies()) / self.name / "system"

    def create(self) -> None:
        """Make the group in every hierarchy."""
        for root in self._hierarchies():
            group = root / self.name
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # version 1: empty until it is copied
                if (group / name).exists() and not (root / "cgroup.controllers").exists():
                    (group / name).write_text((root / name).read_text())
            _delegate(root)
            _delegate(group)
        self.system.mkdir(exist_ok=True)

    def system_processes(self) -> set[int]:
        """List the stack's own processes."""
        return _members(self.system)

    def processes(self) -> set[int]:
        """List all processes: the stack's own and those of pods."""
        groups = [root / self.name for root in _mounted()]
        return {
            pid for group in groups for folder, _, _ in os.walk(group) for pid in _members(folder)
        }

    def exists(self) -> bool:
        """Say whether the group is there in any hierarchy."""
        return any((root / self.name).is_dir() for root in _mounted())

    def kill(self) -> None:
        """End all processes and wait until they are gone."""
        end = time.monotonic() + _KILL_LIMIT
        ended: set[int] = set()
        while left := self.processes():
            if time.monotonic() > end:
                listed = ", ".join(str(pid) for pid in sorted(left))
                raise StackError(f"Processes that do not end although they were killed: {listed}")
            for pid in left:
                _kill(pid)
            ended |= left
            _reap()
            time.sleep(_POLL_SECONDS)
        patience = time.monotonic() + _REAPING_LIMIT
        while time.monotonic() < patience and any(Path(f"/proc/{pid}").exists() for pid in ended):
            _reap()  # the rest is the machine's to reap
            time.sleep(_POLL_SECONDS)

    def remove(self) -> None:
        """Remove the group, which must be empty, from every hierarchy."""
        for root in _mounted():
            for folder, _, _ in os.walk(root / self.name, topdown=False):
                _remove(Path(folder))

    def _hierarchies(self) -> list[Path]:
        mounted = _mounted()
        first = [root for root in mounted if (root / "tasks").exists()]
        if not (first or mounted):
            raise StackError("No cgroup hierarchy is mounted: see `man 7 cgroups`")
        return first or mounted[:1]


def _mounted() -> list[Path]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    kinds = {"cgroup", "cgroup2"}
    return list({Path(words[1]): None for line in lines if (words := line.split())[2] in kinds})


def _tracking(hierarchies: list[Path]) -> Path:
    return next((root for root in hierarchies if root.name == "pids"), hierarchies[0])


def _delegate(group: Path) -> None:
    """Version 2: let the groups below have controllers."""
    if not (group / "cgroup.controllers").exists():
        return
    available = (group / "cgroup.controllers").read_text().split()
    for name in set(_CONTROLLERS) & set(available):
        (group / "cgroup.subtree_control").write_text(f"+{name}")


def _members(folder: str | Path) -> set[int]:
    try:
        return {int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()}
    except OSError:
        return set()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap() -> None:
    """Take note of children of our own that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            continue
    except ChildProcessError:
        return


def _remove(folder: Path) -> None:
    end = time.monotonic() + _KILL_LIMIT
    while True:
        try:
            return folder.rmdir()
        except FileNotFoundError:
            return None
        except OSError as error:  # still busy for a moment after its last process has ended
            if time.monotonic() > end:
                raise StackError(f"The cgroup {folder} cannot be removed: {error}") from error
            time.sleep(_POLL_SECONDS)
