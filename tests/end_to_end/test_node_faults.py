"""Faults of the node and the registry themselves, which take a stack whose processes are ours."""

import subprocess
from collections.abc import Iterator

import pytest

from end_to_end.cluster import Run, dataset, eventually, inline
from local_stack import node, settings
from local_stack.daemons import Daemons
from local_stack.processes import quiet_environment
from operator_stack import ROOT
from results import LOCAL, stack_file

DATA = dataset("data", inline("1"))
ENDLESS = 'echo started; echo partial > "$OUTPUTS/partial.txt"; while :; do sleep 1; done'
UP = ("make", "--no-print-directory", "up")


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    """The processes of the stack; what a test has ended is started again afterwards."""
    if stack_file() != LOCAL / "stack.env":
        pytest.skip("the processes of a cluster that was given are not ours to end")
    yield node.ensure_node(LOCAL)
    bring_up()


def bring_up() -> None:
    subprocess.run(UP, cwd=ROOT, env=quiet_environment(), check=True, timeout=300)


def on_node(daemons: Daemons, *words: str) -> str:
    command = [*daemons.inside, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_a_registry_that_is_down_is_told_as_a_pull_that_failed(run: Run, daemons: Daemons) -> None:
    run.create_environment("no-registry", deadlines={"starting": 15})
    repository = run.image("BUSYBOX").partition("@")[0]
    container = {"image": repository, "tag": "local", "entrypoint": "true"}
    spec = {"environment": run.named("no-registry")}
    run.start(before=run.job("true", DATA))  # so that every image but the missing one is there
    assert run.finished("before").outcome == ("Complete", "Succeeded")
    daemons.stop("registry")
    run.start(no_registry=run.job("true", DATA, algorithm={"container": container}, spec=spec))
    ended = run.finished("no-registry")
    assert ended.outcome == ("Failed", "ImagePullFailed"), ended.message
    assert "connection refused" in ended.message


def test_a_container_that_the_kubelet_starts_a_second_time_is_refused(
    run: Run, daemons: Daemons
) -> None:
    run.start(twice=run.job(ENDLESS, DATA))
    uid = run.running("twice", "started")["metadata"]["uid"]
    ctr = ("ctr", "--namespace=k8s.io")
    daemons.stop("kubelet")
    listed = on_node(daemons, *ctr, "containers", "list", "--quiet",
                     f'labels."io.kubernetes.pod.uid"=={uid}')  # fmt: skip
    containers = listed.split()
    assert len(containers) == 2
    for container in containers:
        on_node(daemons, *ctr, "tasks", "kill", "--signal=KILL", "--all", container)

    def ended() -> bool:
        tasks = on_node(daemons, *ctr, "tasks", "list", "--quiet").split()
        return not set(tasks) & set(containers)

    eventually(ended, "the end of the containers", 20)
    for container in containers:
        on_node(daemons, *ctr, "containers", "delete", container)
    daemons.stop("containerd")
    bring_up()
    job = run.finished("twice")
    assert job.outcome == ("Failed", "AlgorithmLost"), job.message
    assert job.text("partial.txt") == "partial\n"
    assert job.lines("algorithm.log") == ["started"]


def test_a_job_ends_when_its_node_is_gone(run: Run, daemons: Daemons) -> None:
    run.start(nodeless=run.job(ENDLESS, DATA))
    run.running("nodeless", "started")
    daemons.stop("kubelet")
    run.kubectl("delete", "node", settings.NODE_NAME, "--timeout=30s")
    pod = f"{run.named('nodeless')}-algorithm"
    gone = ("get", "pod", pod, "--ignore-not-found", "--output=name")
    eventually(lambda: not run.kubectl(*gone), "the removal of the pod by the cluster", 150)
    bring_up()
    ended = run.finished("nodeless")
    assert ended.outcome[0] == "Failed"
    assert ended.outcome[1] in ("AlgorithmLost", "Evicted")
    assert ended.conditions["CleanedUp"]["status"] == "True"
