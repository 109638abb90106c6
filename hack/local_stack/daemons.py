"""The processes that stay: started in the stack's cgroup, recorded, restarted when they must be.

A process enters the cgroup and writes its own record before it becomes the program, so that
there is no moment at which an interrupt could leave one that nobody knows of.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.cgroups import Cgroup
from local_stack.console import StackError, say
from local_stack.processes import failure

_START_LIMIT = 10.0
_STOP_LIMIT = 20.0
_ENTER = """\
echo $$ >"$1/cgroup.procs" && echo "$$ $2" >"$3.new" && mv "$3.new" "$3" || exit 125
shift 3
exec "$@"
"""


@dataclass(frozen=True)
class Daemons:
    """The long-lived processes of one stack, known by name."""

    folder: Path
    cgroup: Cgroup
    inside: tuple[str, ...] = ()
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def log(self, name: str) -> Path:
        """Name the log file of a process."""
        return self.folder / "log" / f"{name}.log"

    def ensure(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        files: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start a process unless it runs already, just so and with these files.

        Args:
            name: Names its log file, too.
            command: The program (by its path, or as found on this machine) and its arguments.
            files: Its configuration: when their content changes, it is started again.
            env: Variables beside a plain environment.
        """
        program = shutil.which(str(command[0]))
        if program is None:
            raise StackError(f"{command[0]} is not installed")
        words = [*self.inside, program, *(str(word) for word in command[1:])]
        digest = _digest(words, files, env or {})
        record = self._record(name)
        if self.pid(name) is not None:
            if record.read_text().split()[1] == digest:
                return
            say(f"{name} has new settings: starting it again")
            self.stop(name)
        elif record.exists():
            say(f"{name} had ended: starting it again")
        self._start(name, words, digest, env or {})

    def pid(self, name: str) -> int | None:
        """Say as which process it runs, if it does."""
        try:
            pid = int(self._record(name).read_text().split()[0])
        except FileNotFoundError:
            return None
        return pid if pid in self.cgroup.system_processes() else None

    def alive(self, name: str) -> bool:
        """Say whether the process runs."""
        return self.pid(name) is not None

    def names(self) -> list[str]:
        """List what was started, in order."""
        records = [one for one in self.folder.glob("processes/*") if one.suffix != ".new"]
        return [one.name for one in sorted(records, key=lambda one: one.stat().st_mtime_ns)]

    def stop(self, name: str) -> None:
        """End a process: politely, then not."""
        polite = time.monotonic() + _STOP_LIMIT
        while (pid := self.pid(name)) is not None:
            late = time.monotonic() > polite
            _signal(pid, signal.SIGKILL if late else signal.SIGTERM)
            self._reap()
            time.sleep(0.1)

    def _record(self, name: str) -> Path:
        return self.folder / "processes" / name

    def _start(self, name: str, words: list[str], digest: str, env: Mapping[str, str]) -> None:
        record, log = self._record(name), self.log(name)
        record.parent.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["sh", "-c", _ENTER, "sh", self.cgroup.system, digest, record, *words],
                cwd=self.folder,
                env={"PATH": os.defpath + ":/usr/sbin:/sbin", "HOME": "/root", **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)
        end = time.monotonic() + _START_LIMIT
        while not record.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise failure(f"{name} did not start", log)
            time.sleep(0.01)

    def _reap(self) -> None:
        for process in self._started:
            process.poll()


def _digest(words: list[str], files: Sequence[Path], env: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr((words, sorted(env.items()))).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
