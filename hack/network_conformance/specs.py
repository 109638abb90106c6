"""What became of upstream's specs, as Ginkgo reports it, and what that says of the agent; pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ABOUT = "Netpol"
_PASSED = "passed"
_NOT_RUN = ("skipped", "pending")

# Specs that are not run, by a part of their names, and why they do not concern us.
NOT_OURS: Mapping[str, str] = {
    "Feature:SCTPConnectivity": "kernels without SCTP have no sockets to try the rules with",
}


@dataclass(frozen=True)
class Spec:
    """One spec, or a step that prepares or ends them all."""

    name: str
    state: str
    seconds: float
    message: str

    @property
    def reason(self) -> str | None:
        """Say why it does not concern us, if it does not."""
        return next((why for part, why in NOT_OURS.items() if part in self.name), None)


@dataclass(frozen=True)
class Verdict:
    """The specs, by what they say of the agent."""

    passed: tuple[Spec, ...]
    failed: tuple[Spec, ...]
    not_run: tuple[Spec, ...]

    @property
    def is_good(self) -> bool:
        """Say whether all passed that concern us, and there were some."""
        return bool(self.passed) and not self.failed and all(one.reason for one in self.not_run)

    def lines(self) -> list[str]:
        """Write the summary, and what failed or was not run."""
        counts = [len(self.passed), len(self.failed), len(self.not_run)]
        found = ["{} passed, {} failed, {} not run".format(*counts)]
        for one in self.failed:
            found += [f"FAILED   {one.name}", *(f"    {line}" for line in one.message.splitlines())]
        for one in self.not_run:
            found += [f"NOT RUN  {one.name}", f"    {one.reason or 'for no reason that is known'}"]
        return found


def skipped() -> str:
    """Write the expression that leaves out what does not concern us."""
    return "|".join(re.escape(part) for part in NOT_OURS)


def focused(part: str) -> str:
    """Write the expression that finds the specs of NetworkPolicy, or a part of them."""
    return f"{_ABOUT}.*{part}"


def read_report(suites: Sequence[Mapping[str, Any]], part: str = "") -> list[Spec]:
    """Read Ginkgo's report, without the specs that are about something else."""
    entries = [entry for suite in suites for entry in suite.get("SpecReports") or ()]
    specs = [(entry, _spec(entry)) for entry in entries]
    return [
        spec
        for entry, spec in specs
        if re.search(focused(part), spec.name) or _is_broken_step(entry)
    ]


def judged(specs: Iterable[Spec]) -> Verdict:
    """Sort the specs; whatever is neither passed nor left out has failed."""
    listed = sorted(specs, key=lambda one: one.name)
    return Verdict(
        tuple(one for one in listed if one.state == _PASSED),
        tuple(one for one in listed if one.state not in (_PASSED, *_NOT_RUN)),
        tuple(one for one in listed if one.state in _NOT_RUN),
    )


def _spec(entry: Mapping[str, Any]) -> Spec:
    texts = [*(entry.get("ContainerHierarchyTexts") or ()), entry.get("LeafNodeText") or ""]
    name = " ".join(filter(None, texts)) or str(entry["LeafNodeType"])
    message = (entry.get("Failure") or {}).get("Message", "")
    return Spec(name, str(entry["State"]), entry.get("RunTime", 0) / 1e9, message)


def _is_broken_step(entry: Mapping[str, Any]) -> bool:
    return entry["LeafNodeType"] != "It" and entry["State"] not in (_PASSED, *_NOT_RUN)
