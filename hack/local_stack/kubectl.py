"""kubectl, bound to one cluster."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.processes import run

_LIMIT = 120.0


@dataclass(frozen=True)
class Kubectl:
    """One kubectl program and the kubeconfig file it uses."""

    program: Path
    kubeconfig: Path
    log: Path

    def __call__(self, *words: str | Path, text: str | None = None) -> str:
        """Run a command; fail when it fails."""
        command = [self.program, f"--kubeconfig={self.kubeconfig}", *words]
        return run(command, log=self.log, text=text, limit=_LIMIT)

    def read(self, *words: str) -> dict[str, Any] | None:
        """Read an object as JSON, or None where there is none (or no answer yet)."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", "get", *words, "-o=json"]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
        if asked.returncode:
            return None
        answer: dict[str, Any] = json.loads(asked.stdout)
        return answer

    def apply(self, *words: str | Path, text: str | None = None) -> str:
        """Apply manifests on the server's side, as the owner of what they say."""
        owner = ("--server-side", "--force-conflicts", "--field-manager=c2d-local-stack")
        return self("apply", *owner, *words, text=text)

    def is_true(self, kind: str, name: str, condition: str, namespace: str = "default") -> bool:
        """Say whether a condition of an object is True as of its present generation."""
        body = self.read(kind, name, f"--namespace={namespace}")
        if body is None:
            return False
        generation = body["metadata"].get("generation", 0)
        status = body.get("status") or {}
        if status.get("observedGeneration", generation) != generation:
            return False
        return any(
            one["type"] == condition and one["status"] == "True"
            for one in status.get("conditions", ())
        )
