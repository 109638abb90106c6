"""Jobs whose operators are killed again and again: all end well, every algorithm runs once."""

import pytest

from end_to_end.cluster import Run, dataset, eventually, inline

NAMES = [f"unshaken{number}" for number in range(20)]
SYSTEM = "--namespace=c2d-system"
KILLS = 12


def leader(run: Run) -> str:
    lease = run.read("lease", "c2d-operator", SYSTEM)
    return str(lease["spec"].get("holderIdentity", ""))


def ended(run: Run) -> int:
    bodies = run.read("computejobs", f"--selector=end-to-end-run={run.mark}")["items"]
    names = {run.named(name) for name in NAMES}
    return sum(
        "completionTime" in body.get("status", {})
        for body in bodies
        if body["metadata"]["name"] in names
    )


@pytest.fixture(scope="module")
def killed(run: Run) -> list[str]:
    """Start the jobs, and kill whoever leads as soon as somebody does, until all have ended."""
    run.start(
        **{
            name: run.job(
                'echo ran; echo ran >> "$OUTPUTS/runs.txt"; sleep 1', dataset("data", inline(name))
            )
            for name in NAMES
        }
    )
    victims: list[str] = []
    while ended(run) < len(NAMES) and len(victims) < KILLS:
        before = victims[-1] if victims else ""

        def another(before: str = before) -> str:
            holder = leader(run)
            return holder if holder != before else ""

        victims.append(eventually(another, "another leader", 60))
        run.kubectl(
            "delete", "pod", SYSTEM, victims[-1], "--force", "--grace-period=0",
            "--ignore-not-found",
        )  # fmt: skip
    return victims


@pytest.mark.parametrize("name", NAMES)
def test_a_job_ends_well_and_its_algorithm_has_run_once(
    run: Run, killed: list[str], name: str
) -> None:
    job = run.finished(name)
    assert job.outcome == ("Complete", "Succeeded"), job.message
    assert job.lines("runs.txt") == ["ran"]
    assert job.lines("algorithm.log") == ["ran"]


def test_operators_were_killed_meanwhile(killed: list[str]) -> None:
    assert len(set(killed)) >= 3
