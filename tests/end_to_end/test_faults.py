"""What can go wrong in a cluster, each by a real fault: its reason, its words, nothing left."""

import json

import pytest

from end_to_end.cluster import Json, Run, dataset, eventually, inline

ENDLESS = 'echo started; echo partial > "$OUTPUTS/partial.txt"; while :; do sleep 1; done'
HASTY = {"volumes": 25, "loading": 30, "starting": 20, "publishing": 30}
DATA = dataset("data", inline("1"))


def environments(run: Run) -> dict[str, Json]:
    """Describe environments with one fault each, and short deadlines."""
    small = {"cpu": "50m", "memory": "64Mi", "disk": "64Mi"}
    huge = {"default": small, "max": {"cpu": "9000", "memory": "9Ti", "disk": "1Gi"}}
    store = run.read("cenv", run.value("ENVIRONMENT"))["spec"]["results"]
    gone = {**store, "store": "s3://no-such-bucket-anywhere/"}
    return {
        "hasty-faults": {"resources": huge},
        "no-node": {"pods": {"nodeSelector": {"example.org/no-such": "node"}}},
        "no-provisioner": {"storageClassName": run.named("no-provisioner")},
        "no-mount": {"storageClassName": run.named("no-mount")},
        "no-quota": {"pods": {"priorityClassName": run.named("no-quota")}},
        "no-bucket": {"results": gone},
        "doomed": {"maxJobs": 0},
        "changing": {},
    }


@pytest.fixture(scope="module", autouse=True)
def jobs(run: Run) -> None:
    prepare(run)
    for name, changes in environments(run).items():
        run.create_environment(name, **{"deadlines": HASTY, **changes})
    wrong = {"image": run.image("BUSYBOX").partition("@")[0], "digest": f"sha256:{'0' * 64}"}

    def within(environment: str, entrypoint: str = "true", **more: object) -> Json:
        spec = {"environment": run.named(environment), **more}
        return run.job(entrypoint, DATA, spec=spec)

    run.start(
        wrong_digest=run.job(
            "true",
            algorithm={"container": {**wrong, "entrypoint": "true"}},
            spec={"environment": run.named("hasty-faults")},
        ),
        no_room=within("hasty-faults", resources={"cpu": "8000"}),
        no_node=within("no-node"),
        never_bound=within("no-provisioner"),
        never_mounted=within("no-mount"),
        no_quota=within("no-quota"),
        no_bucket=within("no-bucket", 'echo precious > "$OUTPUTS/precious.txt"'),
        no_environment=within("never-there"),
        queued=within("doomed"),
        expires=within("doomed", maxQueueDuration=3),
        killed=run.job("echo before; kill -9 $$", DATA),
        evicted=run.job(ENDLESS, DATA),
        deleted_pod=run.job(ENDLESS, DATA),
        forced_pod=run.job(ENDLESS, DATA),
        lost_claim=run.job(ENDLESS, DATA),
        full_scratch=run.job("fallocate -l 1100M /tmp/big; sleep 300", DATA),
        again=run.job(ENDLESS, DATA),
        changing=within("changing", ENDLESS),
    )


def prepare(run: Run) -> None:
    """Make what the faulty environments refer to."""
    storage = ("storage.k8s.io/v1", "StorageClass")
    run.create(*storage, "no-provisioner", provisioner="example.org/nobody")
    run.create(*storage, "no-mount", provisioner="kubernetes.io/no-provisioner")
    run.create(
        "v1",
        "PersistentVolume",
        "no-mount",
        spec={
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": run.named("no-mount"),
            "hostPath": {"path": "/no/such/folder", "type": "Directory"},
        },
    )
    priority = run.create("scheduling.k8s.io/v1", "PriorityClass", "no-quota", value=1)
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": [priority]}
    run.create(
        "v1",
        "ResourceQuota",
        "no-quota",
        spec={"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [scope]}},
    )


@pytest.mark.parametrize(
    ("name", "reason", "number", "words"),
    [
        ("wrong-digest", "ImagePullFailed", 11, f"@sha256:{'0' * 64} cannot be pulled: "),
        ("no-room", "Unschedulable", 22, "Insufficient cpu"),
        ("no-node", "Unschedulable", 22, "didn't match Pod's node affinity/selector"),
        ("never-bound", "VolumeCreationFailed", 21, "-workspace was not bound within 25 s"),
        ("never-mounted", "DataProvisioningFailed", 31, "FailedMount: MountVolume.SetUp failed"),
        ("no-quota", "PodRefused", 22, "exceeded quota"),
        ("no-environment", "EnvironmentNotFound", 22, "there is no ComputeEnvironment"),
        ("expires", "QueueExpired", 2, "had no place for 3 s"),
        ("killed", "AlgorithmFailed", 41, "exit code 137, by signal 9"),
    ],
)
def test_a_fault_has_its_reason_its_number_and_its_words(
    run: Run, name: str, reason: str, number: int, words: str
) -> None:
    ended = run.finished(name)
    assert ended.outcome == ("Failed", reason), ended.message
    assert words in ended.message
    assert ended.status["ocean"]["status"] == number
    described = run.kubectl("describe", "cjob", run.named(name))
    assert reason in described.partition("\nEvents:")[2]


@pytest.mark.parametrize(
    ("name", "type_", "reason"),
    [
        ("no-quota", "VolumesReady", "PodRefused"),
        ("no-node", "VolumesReady", "Unschedulable"),
        ("never-mounted", "AssetsLoaded", "FailedMount"),
        ("no-bucket", "ResultsPublished", "Publishing"),
    ],
)
def test_what_a_job_waits_for_was_told_in_time(
    run: Run, name: str, type_: str, reason: str
) -> None:
    told = [one["reason"] for one in run.events(name) if one["action"] == type_]
    assert reason in told


def test_results_that_cannot_be_uploaded_are_told_so(run: Run) -> None:
    ended = run.finished("no-bucket")
    assert ended.outcome == ("Failed", "ResultsUploadFailed")
    assert ended.conditions["AlgorithmCompleted"]["status"] == "True"
    assert ended.status["ocean"] == {"status": 62, "statusText": "Failed to upload results"}
    assert ended.status["attempts"]["publishing"] >= 2


def test_a_deleted_environment_fails_the_jobs_that_wait_for_it(run: Run) -> None:
    run.until("queued", "{.status.reason}", "Queued", limit=30)
    run.kubectl("delete", "cenv", run.named("doomed"), "--timeout=30s")
    ended = run.finished("queued")
    assert ended.outcome == ("Failed", "EnvironmentNotFound")


def test_a_running_job_goes_on_with_its_copy_of_a_deleted_environment(run: Run) -> None:
    run.running("changing", "started")
    change = json.dumps({"spec": {"maxJobs": 0, "results": {"store": "s3://elsewhere/"}}})
    changing = run.named("changing")
    run.kubectl("patch", "cenv", changing, "--type=merge", f"--patch={change}")
    run.kubectl("delete", "cenv", changing, "--timeout=30s")
    accounts = ("get", "serviceaccounts,networkpolicies", "--output=name", "--ignore-not-found")
    standing = [f"--selector=computetodata.io/environment={changing}"]
    assert run.kubectl(*accounts, *standing)
    run.patch("changing", stop={"reason": "AdminRequested"})
    ended = run.finished("changing")
    assert ended.outcome == ("Failed", "Stopped")
    assert ended.status["ocean"]["status"] == 41
    assert ended.text("partial.txt") == "partial\n"
    eventually(lambda: not run.kubectl(*accounts, *standing), "the end of standing objects", 60)


def test_an_evicted_algorithm_is_told_apart_and_published(run: Run) -> None:
    pod = run.running("evicted", "started")["metadata"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["name"], "namespace": pod["namespace"]},
    }
    path = f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/eviction"
    run.kubectl("create", f"--raw={path}", "--filename=-", text=json.dumps(eviction))
    ended = run.finished("evicted")
    assert ended.outcome == ("Failed", "Evicted")
    assert ended.text("partial.txt") == "partial\n"


def test_an_algorithm_that_fills_its_scratch_space_is_told_so(run: Run) -> None:
    ended = run.finished("full-scratch")
    assert ended.outcome == ("Failed", "DiskQuotaExceeded")
    assert 'EmptyDir volume "tmp"' in ended.message


@pytest.mark.parametrize(
    ("name", "how"), [("deleted-pod", ()), ("forced-pod", ("--force", "--grace-period=0"))]
)
def test_an_algorithm_whose_pod_is_deleted_is_lost_and_not_run_again(
    run: Run, name: str, how: tuple[str, ...]
) -> None:
    pod = run.running(name, "started")["metadata"]["name"]
    run.kubectl("delete", "pod", pod, "--wait=false", *how)
    ended = run.finished(name)
    assert ended.outcome == ("Failed", "AlgorithmLost")
    assert ended.text("partial.txt") == "partial\n"
    assert ended.lines("algorithm.log")[0] == "started"


def test_a_claim_that_is_deleted_ends_the_job_without_results(run: Run) -> None:
    run.running("lost-claim", "started")
    run.kubectl("delete", "pvc", f"{run.named('lost-claim')}-workspace", "--wait=false")
    ended = run.finished("lost-claim")
    assert ended.outcome == ("Failed", "WorkspaceLost")
    assert ended.status["ocean"]["status"] == 41
    assert ended.conditions["ResultsPublished"]["reason"] == "NotReached"


def test_a_job_that_is_deleted_and_applied_again_at_once_runs_anew(run: Run) -> None:
    first = run.running("again", "started")
    run.kubectl("delete", "cjob", run.named("again"), "--timeout=30s")
    run.start(again=run.job("echo second", DATA))
    ended = run.finished("again")
    assert ended.outcome == ("Complete", "Succeeded")
    assert ended.text("algorithm.log") == "second\n"
    assert ended.status["algorithm"]["podUID"] != first["metadata"]["uid"]


@pytest.mark.parametrize("phase", ["loading", "publishing"])
def test_a_pod_of_ours_that_is_lost_is_made_again(run: Run, phase: str) -> None:
    name = f"lost-{phase}"
    suspended = {"suspend": True} if phase == "loading" else {}
    run.start(**{name: run.job("echo once", DATA, spec=suspended)})
    if suspended:
        run.until(name, "{.status.reason}", "Suspended", limit=30)
        run.patch(name, suspend=False)

    def found() -> str:
        pods = run.kubectl(
            "get", "pods", "--output=name", "--ignore-not-found",
            f"--selector=computetodata.io/job={run.named(name)},computetodata.io/phase={phase}",
        )  # fmt: skip
        return pods.strip()

    pod = eventually(found, f"the pod of {phase}", 60)
    run.kubectl("delete", pod, "--force", "--grace-period=0", "--ignore-not-found")
    ended = run.finished(name)
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    assert ended.text("algorithm.log") == "once\n"


def test_a_name_that_is_taken_fails_the_job_and_is_left_alone(run: Run) -> None:
    name = run.create(
        "v1",
        "PersistentVolumeClaim",
        "taken",
        spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    )
    body = run.read("pvc", name)
    clash = {
        **body,
        "metadata": {"name": f"{name}-workspace", "labels": body["metadata"]["labels"]},
    }
    run.kubectl("create", "--filename=-", text=json.dumps({**clash, "status": None}))
    run.start(taken=run.job("true", DATA))
    ended = run.finished("taken")
    assert ended.outcome == ("Failed", "NameConflict")
    assert f"{name}-workspace" in ended.message
    assert run.read("pvc", f"{name}-workspace")["metadata"].get("deletionTimestamp") is None
