"""Manifests of children: closed, bounded, without secrets, the same every time."""

import json
from dataclasses import replace
from typing import Any

import pytest

import examples
from c2d_api.computeenvironment import (
    NetworkIsolation,
    PodSettings,
    Store,
    Terms,
    parse_environment,
)
from c2d_api.computejob import ComputeJob, parse_job
from c2d_api.tasks import (
    TASK_ANNOTATION,
    Endpoint,
    Gateways,
    decode_loader_task,
    decode_publisher_task,
)
from c2d_operator import admission
from c2d_operator import status as st
from c2d_operator.children import GATE, Phase, parse_claim, parse_pod
from c2d_operator.pods import Images, claim, pod
from fakes import START, environment_body, job_manifest

Json = dict[str, Any]
IMAGES = Images("loader:1", "publisher:1")
TMP = "/tmp"  # noqa: S108 - where a bounded volume of the pod's own is mounted
PHASES: tuple[Phase, ...] = ("loading", "algorithm", "publishing")


def job(**spec: Any) -> ComputeJob:
    body = job_manifest(**spec)
    meta = {"uid": "job-uid", "resourceVersion": "7", "creationTimestamp": START.isoformat()}
    parsed = parse_job({**body, "metadata": {**body["metadata"], **meta}})
    return replace(parsed, status=st.begin(parsed, START))


def terms(**fields: Any) -> Terms:
    environment = parse_environment(environment_body())
    return replace(admission.terms(job(), environment), **fields)


def manifest(phase: Phase, of: ComputeJob | None = None, **fields: Any) -> Json:
    return pod(of or job(), terms(**fields), phase, 0, IMAGES)


def container(phase: Phase, of: ComputeJob | None = None, **fields: Any) -> Json:
    (only,) = manifest(phase, of, **fields)["spec"]["containers"]
    return dict(only)


def expanded(text: str) -> str:
    """Read `$$` as the kubelet does; an expression that it would fill in is an error."""
    result, rest = "", text
    while rest:
        if rest.startswith("$$"):
            result, rest = result + "$", rest[2:]
        else:
            assert not rest.startswith("$("), f"{text!r} is expanded"
            result, rest = result + rest[0], rest[1:]
    return result


@pytest.mark.parametrize("phase", PHASES)
def test_pods_satisfy_the_restricted_standard(phase: Phase) -> None:
    spec = manifest(phase)["spec"]
    security = container(phase)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    kinds = {key for volume in spec["volumes"] for key in volume if key != "name"}
    assert kinds <= {"persistentVolumeClaim", "emptyDir", "downwardAPI", "secret"}


CANARY, API_SERVER = Endpoint("10.96.0.7", 8033), Endpoint("10.96.0.1", 443)


@pytest.mark.parametrize(
    ("mode", "canary", "closed"),
    [
        ("Verified", (CANARY,), (CANARY, API_SERVER)),
        ("CanaryOnly", (CANARY,), (CANARY,)),
        ("Unverified", (), ()),
    ],
)
def test_a_loader_is_told_what_it_must_reach_and_the_algorithm_must_not(
    mode: NetworkIsolation, canary: tuple[Endpoint, ...], closed: tuple[Endpoint, ...]
) -> None:
    images = replace(IMAGES, canary=(CANARY,), api_server=API_SERVER)
    body = pod(job(), terms(network_isolation=mode), "loading", 0, images)
    task = decode_loader_task(body["metadata"]["annotations"][TASK_ANNOTATION])
    assert (task.canary, task.closed) == (canary, closed)


PROVIDED = {
    "consumer": examples.ADDRESS,
    "datasets": examples.provided_job()["spec"]["datasets"],
}
URL = "http://c2d-provider.c2d-system"


def asking(phase: Phase, **spec: Any) -> Json:
    """The pod of a job that has a provider to ask."""
    return pod(job(**spec), terms(), phase, 3, Images("loader:1", "publisher:1", URL))


def test_a_loader_that_asks_the_provider_holds_a_token_for_it_alone() -> None:
    spec = asking("loading", **PROVIDED)["spec"]
    (volume,) = [v for v in spec["volumes"] if "projected" in v]
    assert volume["projected"] == {
        "sources": [
            {
                "serviceAccountToken": {
                    "audience": "c2d-provider",
                    "expirationSeconds": 600,
                    "path": "token",
                }
            }
        ]
    }
    (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/c2d/provider", True)
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "small-loader"


@pytest.mark.parametrize(
    ("phase", "spec"),
    [
        pytest.param("loading", {}, id="a loader of public files"),
        pytest.param("algorithm", PROVIDED, id="the algorithm"),
        pytest.param("publishing", PROVIDED, id="the publisher"),
    ],
)
def test_no_other_pod_holds_one(phase: Phase, spec: Json) -> None:
    made = asking(phase, **spec)
    assert not [v for v in made["spec"]["volumes"] if "projected" in v]
    assert "c2d-provider" not in json.dumps(made)


def test_a_loader_is_told_whom_to_ask_and_for_what_but_not_who_paid() -> None:
    made = asking("loading", **PROVIDED)
    text = made["metadata"]["annotations"][TASK_ANNOTATION]
    told = decode_loader_task(text)
    assert (told.namespace, told.job, told.attempt) == ("jobs", "sum", 3)
    assert (told.provider_url, told.asks_provider) == (URL, True)
    assert (told.datasets[0].id, told.datasets[0].service_id) == (examples.DID, "compute")
    assert examples.TRANSACTION not in text
    assert "age" not in text


CLAIMED = {
    "datasets": [
        {"id": "a", "source": {"persistentVolumeClaim": {"claimName": "trees", "path": "x/y"}}},
        {"id": "b", "source": {"files": [{"inline": {"text": "1"}}]}},
        {"id": f"did:op:{'c' * 64}", "source": {"persistentVolumeClaim": {"claimName": "trees"}}},
        {"id": "d", "source": {"persistentVolumeClaim": {"claimName": "stones"}}},
    ]
}
DESCRIBED = {
    "datasets": [
        {"id": "a", "source": {"secretRef": {"name": "keys"}}},
        {"id": "b", "source": {"secretRef": {"name": "more"}}},
        {"id": "c", "source": {"secretRef": {"name": "keys"}}},
    ],
    "algorithm": {
        "id": "mine",
        "source": {"secretRef": {"name": "code"}},
        "container": {"image": "python", "tag": "3", "entrypoint": "x"},
    },
}


def volumes(made: Json) -> dict[str, Json]:
    names = [volume["name"] for volume in made["spec"]["volumes"]]
    assert len(set(names)) == len(names)
    return {volume["name"]: volume for volume in made["spec"]["volumes"]}


def test_claims_are_folders_of_the_inputs_that_nobody_can_write() -> None:
    made = manifest("algorithm", job(**CLAIMED))
    named = volumes(made)
    mounts = [m for m in made["spec"]["containers"][0]["volumeMounts"] if "claim" in m["name"]]
    shown = {
        mount["mountPath"]: (
            named[mount["name"]]["persistentVolumeClaim"],
            mount.get("subPath"),
            mount["readOnly"],
        )
        for mount in mounts
    }
    trees = {"claimName": "trees", "readOnly": True}
    assert shown == {
        "/data/inputs/a": (trees, "x/y", True),
        f"/data/inputs/{'c' * 64}": (trees, None, True),
        "/data/inputs/d": ({"claimName": "stones", "readOnly": True}, None, True),
    }
    claims = [v for v in named.values() if "persistentVolumeClaim" in v]
    assert [v["persistentVolumeClaim"]["claimName"] for v in claims] == [
        "sum-workspace",
        "trees",
        "stones",
    ]


def test_a_loader_goes_by_the_claims_and_does_not_see_them() -> None:
    made = manifest("loading", job(**CLAIMED))
    named = {name for name in volumes(made) if name.startswith("claim")}
    assert len(named) == 2
    assert not named & {m["name"] for m in made["spec"]["containers"][0]["volumeMounts"]}
    assert "trees" not in json.dumps(manifest("publishing", job(**CLAIMED)))


def test_as_many_claims_as_datasets_have_names_of_their_own() -> None:
    datasets = [
        {"id": f"d{n}", "source": {"persistentVolumeClaim": {"claimName": f"c{n}"}}}
        for n in range(64)
    ]
    for phase in PHASES:
        volumes(manifest(phase, job(datasets=datasets)))


def test_secrets_that_describe_files_are_mounted_for_the_loader_only() -> None:
    made = manifest("loading", job(**DESCRIBED))
    named = volumes(made)
    mounts = [m for m in made["spec"]["containers"][0]["volumeMounts"] if "source" in m["name"]]
    assert all(mount["readOnly"] for mount in mounts)
    secrets = {mount["mountPath"]: named[mount["name"]]["secret"] for mount in mounts}
    assert {path: secret["secretName"] for path, secret in secrets.items()} == {
        "/etc/c2d/sources/0": "keys",
        "/etc/c2d/sources/1": "more",
        "/etc/c2d/sources/2": "code",
    }
    for secret in secrets.values():
        assert secret["defaultMode"] == 0o440
        assert secret["items"] == [{"key": "files.json", "path": "files.json"}]
    told = decode_loader_task(made["metadata"]["annotations"][TASK_ANNOTATION])
    assert told.secrets == ("keys", "more", "code")
    for phase in ("algorithm", "publishing"):
        other = manifest(phase, job(**DESCRIBED))
        assert not [v for v in other["spec"]["volumes"] if "secret" in v]
        assert "keys" not in json.dumps(other)


def test_a_loader_is_told_the_gateways() -> None:
    gateways = Gateways("https://ipfs.example.org", "https://arweave.example.org")
    images = Images("loader:1", "publisher:1", gateways=gateways)
    made = pod(job(), terms(), "loading", 0, images)
    told = decode_loader_task(made["metadata"]["annotations"][TASK_ANNOTATION])
    assert told.gateways == gateways


@pytest.mark.parametrize("phase", PHASES)
def test_pods_hold_no_token_and_run_once(phase: Phase) -> None:
    spec = manifest(phase)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] > 0
    assert set(container(phase)["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert spec["volumes"][1] == {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}


@pytest.mark.parametrize("phase", PHASES)
def test_pods_are_found_again_as_what_they_are(phase: Phase) -> None:
    body = manifest(phase)
    body["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01"}
    parsed = parse_pod(body)
    assert (parsed.job, parsed.job_uid, parsed.phase) == ("sum", "job-uid", phase)
    assert parsed.gated == (phase == "algorithm")


def test_only_the_algorithm_is_gated_and_without_names() -> None:
    spec = manifest("algorithm")["spec"]
    assert spec["schedulingGates"] == [{"name": GATE}]
    assert (spec["dnsPolicy"], spec["dnsConfig"]) == ("None", {"nameservers": ["127.0.0.1"]})
    for phase in ("loading", "publishing"):
        assert not {"schedulingGates", "dnsPolicy"} & set(manifest(phase)["spec"])


@pytest.mark.parametrize(
    ("nameservers", "asked"),
    [
        pytest.param(("9.9.9.9", "2620:fe::fe"), ["9.9.9.9", "2620:fe::fe"], id="with names"),
        pytest.param((), ["127.0.0.1"], id="without names"),
    ],
)
def test_only_the_algorithm_of_a_job_that_was_granted_the_network_is_let_out(
    nameservers: tuple[str, ...], asked: list[str]
) -> None:
    granted = {"allow_network_access": True, "nameservers": nameservers}
    made = manifest("algorithm", **granted)
    assert made["metadata"]["labels"]["computetodata.io/network"] == "public"
    assert (made["spec"]["dnsPolicy"], made["spec"]["dnsConfig"]) == (
        "None",
        {"nameservers": asked},
    )
    for phase in ("loading", "publishing"):
        assert manifest(phase, **granted) == manifest(phase)


def test_what_a_job_asks_for_opens_nothing_that_was_not_granted() -> None:
    made = manifest("algorithm", job(allowNetworkAccess=True))
    assert "computetodata.io/network" not in made["metadata"]["labels"]
    assert made["spec"]["dnsConfig"] == {"nameservers": ["127.0.0.1"]}


@pytest.mark.parametrize("mode", ["Verified", "CanaryOnly"])
def test_an_algorithm_with_network_proves_its_isolation_as_well(mode: NetworkIsolation) -> None:
    images = replace(IMAGES, canary=(CANARY,), api_server=API_SERVER)
    tasks = [
        pod(job(), terms(network_isolation=mode, allow_network_access=has), "loading", 0, images)
        for has in (True, False)
    ]
    assert tasks[0] == tasks[1]


@pytest.mark.parametrize(
    "text", ["python $ALGO", "echo $(HOME)", "echo $$(HOME)", "cost: 5$", "a $$ b", "$($(X))"]
)
def test_the_kubelet_passes_on_what_the_consumer_wrote(text: str) -> None:
    asked = job(
        algorithm={
            "rawCode": "1",
            "container": {"image": "python", "tag": "3", "entrypoint": text},
            "env": [{"name": "MINE", "value": text}],
        }
    )
    algorithm = container("algorithm", asked)
    assert expanded(algorithm["command"][-1]) == text
    assert expanded({e["name"]: e["value"] for e in algorithm["env"]}["MINE"]) == text


def test_the_algorithm_has_the_variables_that_published_ones_rely_on() -> None:
    did = f"did:op:{'a' * 64}"
    source = {"files": [{"inline": {"text": "1"}}]}
    asked = job(datasets=[{"id": did, "source": source}, {"id": "numbers", "source": source}])
    variables = {e["name"]: expanded(e["value"]) for e in container("algorithm", asked)["env"]}
    assert json.loads(variables["DIDS"]) == ["a" * 64, "numbers"]
    assert (variables["INPUTS"], variables["OUTPUTS"]) == ("/data/inputs", "/data/outputs")
    assert len(variables["secret"]) == 32
    other = {e["name"]: e["value"] for e in container("algorithm", replace(asked, uid="x"))["env"]}
    assert variables["secret"] != other["secret"]


def test_the_algorithm_writes_outputs_and_logs_and_nothing_else_of_the_workspace() -> None:
    mounts = {m["mountPath"]: m for m in container("algorithm")["volumeMounts"]}
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {"/data/outputs", "/data/logs", TMP}
    assert {path for path in mounts if mounts[path].get("readOnly")} == {
        "/data/inputs",
        "/data/ddos",
        "/data/transformations",
        "/.c2d",
    }
    assert all("subPath" in mount for path, mount in mounts.items() if path != TMP)


@pytest.mark.parametrize(
    ("image", "reference", "policy"),
    [
        pytest.param({"tag": "3"}, "python:3", "Always", id="a tag may move"),
        pytest.param(
            {"tag": "3", "digest": f"sha256:{'0' * 64}"},
            f"python@sha256:{'0' * 64}",
            "IfNotPresent",
            id="a digest outranks the tag",
        ),
    ],
)
def test_image(image: Json, reference: str, policy: str) -> None:
    asked = job(
        algorithm={"rawCode": "1", "container": {"image": "python", "entrypoint": "x", **image}}
    )
    algorithm = container("algorithm", asked)
    assert (algorithm["image"], algorithm["imagePullPolicy"]) == (reference, policy)


def test_credentials_are_mounted_for_the_publisher_only_and_never_named_elsewhere() -> None:
    store = Store("s3://results", "http://10.1.2.3:9000", None, "store-key")
    publisher = manifest("publishing", store=store)
    secrets = [v["secret"] for v in publisher["spec"]["volumes"] if "secret" in v]
    assert secrets == [{"secretName": "store-key", "defaultMode": 0o440}]
    for phase in ("loading", "algorithm"):
        assert "store-key" not in json.dumps(manifest(phase, store=store))


def test_a_share_is_mounted_by_the_folder_of_the_job_alone() -> None:
    publisher = manifest("publishing", store=Store("file://share/c2d"))
    (only,) = publisher["spec"]["containers"]
    (mount,) = [m for m in only["volumeMounts"] if m["name"] == "results"]
    assert (mount["mountPath"], mount["subPath"]) == ("/results/job-uid", "c2d/job-uid")
    (volume,) = [v for v in publisher["spec"]["volumes"] if v["name"] == "results"]
    assert volume["persistentVolumeClaim"] == {"claimName": "share"}
    task = decode_publisher_task(publisher["metadata"]["annotations"][TASK_ANNOTATION])
    assert task.store.url == "file:///results"


@pytest.mark.parametrize("retention", [None, 60])
def test_the_publisher_is_told_how_long_results_are_kept(retention: int | None) -> None:
    publisher = manifest("publishing", retention=retention)
    task = decode_publisher_task(publisher["metadata"]["annotations"][TASK_ANNOTATION])
    assert task.retention == retention


def test_the_publisher_is_told_how_much_it_may_publish_and_which_attempt_it_is() -> None:
    publisher = manifest("publishing", max_files=7, max_bytes=2**41)
    task = decode_publisher_task(publisher["metadata"]["annotations"][TASK_ANNOTATION])
    assert (task.max_files, task.max_bytes, task.attempt) == (7, 2**41, 0)
    again = pod(job(), terms(), "publishing", 3, IMAGES)
    task = decode_publisher_task(again["metadata"]["annotations"][TASK_ANNOTATION])
    assert task.attempt == 3


def test_tasks_say_what_to_bring_and_how_it_ended() -> None:
    loader = manifest("loading")["metadata"]["annotations"][TASK_ANNOTATION]
    assert decode_loader_task(loader).datasets == job().spec.datasets
    failed = job()
    status = st.record(failed.status, st.ADMITTED, "True", "x", "", START, 1)
    status = st.record(status, st.VOLUMES_READY, "False", "Stopped", "", START, 1)
    publisher = manifest("publishing", replace(failed, status=status))
    task = decode_publisher_task(publisher["metadata"]["annotations"][TASK_ANNOTATION])
    assert (task.uid, task.outcome) == ("job-uid", "Stopped")
    assert "annotations" not in manifest("algorithm")["metadata"]


def test_pods_land_where_the_environment_says() -> None:
    settings = PodSettings(
        run_as_user=None,
        run_as_group=None,
        fs_group=None,
        runtime_class_name="gvisor",
        priority_class_name="low",
        node_selector={"pool": "c2d"},
        tolerations=({"key": "c2d", "operator": "Exists"},),
        image_pull_secrets=("registry",),
    )
    for phase in PHASES:
        spec = manifest(phase, pods=settings)["spec"]
        assert spec["nodeSelector"] == {"pool": "c2d"}
        assert spec["tolerations"] == [{"key": "c2d", "operator": "Exists"}]
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["priorityClassName"] == "low"
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(spec["securityContext"])
        assert spec.get("runtimeClassName") == ("gvisor" if phase == "algorithm" else None)


def test_the_claim_asks_for_the_jobs_disk_and_class() -> None:
    body = claim(job(), terms(storage_class_name="fast"))
    assert body["spec"]["resources"]["requests"]["storage"] == "1Gi"
    assert body["spec"]["storageClassName"] == "fast"
    assert "storageClassName" not in claim(job(), terms())["spec"]
    body["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01"}
    assert parse_claim(body).job_uid == "job-uid"


@pytest.mark.parametrize("phase", PHASES)
def test_the_same_job_has_the_same_pods(phase: Phase) -> None:
    assert manifest(phase) == manifest(phase)
