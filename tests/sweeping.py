"""Results of jobs as publishers leave them, and stores in memory, for tests of the sweeper."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from c2d_api.results import MANIFEST, Manifest
from c2d_pods.retention import Entry

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PAST, FUTURE = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
FILES = ("results/00000", "results/00001", "adminlogs/publishing.log")


def uid_of(number: int) -> str:
    return f"6b1f3c7e-0000-4000-8000-{number:012d}"


def manifest(uid: str, expires: str | None) -> bytes:
    return Manifest("job", "jobs", uid, None, (), "Complete", (), expires=expires).encode()


@dataclass
class Shelf:
    """A store in memory that can be made to fail, and remembers in which order things went."""

    content: dict[str, dict[str, tuple[bytes, datetime]]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    patience: int | None = None
    removed: list[str] = field(default_factory=list)

    def put(self, job: str, name: str, content: bytes = b"x", modified: datetime = NOW) -> None:
        self.content.setdefault(job, {})[name] = (content, modified)

    def jobs(self) -> Iterator[str]:
        yield from [job for job, held in self.content.items() if held]

    def read(self, job: str, name: str) -> bytes | None:
        if job in self.failing:
            raise OSError(5, "the disk is gone")
        found = self.content.get(job, {}).get(name)
        return found[0] if found else None

    def entries(self, job: str) -> Iterator[Entry]:
        for name, (content, modified) in list(self.content[job].items()):
            yield Entry(name, len(content), modified)

    def remove(self, job: str, names: Iterable[str]) -> None:
        for name in names:
            if self.patience is not None and len(self.removed) >= self.patience:
                raise KeyboardInterrupt
            self.removed.append(name)
            self.content[job].pop(name, None)

    def is_honest(self) -> bool:
        """Say whether all that is there of a job with a manifest is all that it had."""
        return all(
            MANIFEST not in held or set(FILES) <= set(held) for held in self.content.values()
        )


def run(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """Run the sweeper as a process; returns its exit code and the lines that it wrote."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "c2d_pods.sweeper", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]
