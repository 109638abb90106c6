"""Manifests of a job's children: the workspace claim and the pods of loader, algorithm, publisher.

Pure: the same job always has the same children. All pods of a job run as one user, hold no token
for the API server and satisfy the restricted Pod Security standard; nothing secret stands in any
of them. A loader that asks the provider has a token for that.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from c2d_api import workspace
from c2d_api.asset_request import AUDIENCE, TOKEN_FILE, TOKEN_MOUNT, TOKEN_SECONDS
from c2d_api.computeenvironment import Store, Terms
from c2d_api.computejob import (
    API_VERSION,
    ATTEMPT_LABEL,
    ENVIRONMENT_LABEL,
    JOB_LABEL,
    JOB_UID_LABEL,
    KIND,
    NETWORK_LABEL,
    PHASE_LABEL,
    PUBLIC_NETWORK,
    ComputeJob,
)
from c2d_api.tasks import (
    CREDENTIALS_MOUNT,
    NO_GATEWAYS,
    SOURCE_FILE,
    SOURCES_MOUNT,
    TASK_ANNOTATION,
    TASK_FILE,
    TASK_MOUNT,
    Endpoint,
    Gateways,
    LoaderTask,
    PublisherTask,
    secrets_of,
)
from c2d_operator import status as st
from c2d_operator.children import GATE, POD_NAMES, Phase, claim_name, pod_name

Manifest = dict[str, Any]

RESULTS_MOUNT = "/results"
_TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a bounded volume of the pod's own
_TASK = {"name": "task", "mountPath": TASK_MOUNT, "readOnly": True}
_TOKEN = {"name": "provider-token", "mountPath": TOKEN_MOUNT, "readOnly": True}
_WHOLE_WORKSPACE = {"name": "workspace", "mountPath": workspace.VOLUME}
_TMP_SIZE = "1Gi"
_SCRATCH = {"request": "64Mi", "limit": "3Gi"}
_OWN_RESOURCES = {
    "requests": {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "16Mi"},
    "limits": {"cpu": "2", "memory": "256Mi", "ephemeral-storage": "128Mi"},
}
_MARGIN_SECONDS = 300
_SECRET_DIGITS = 32


@dataclass(frozen=True)
class Images:
    """The images of our own pods, and whom the loader's asks: provider and gateways, if any.

    A loader's `canary` is where it listens just now; the API server is None where the operator is
    no pod of its cluster.
    """

    loader: str
    publisher: str
    provider_url: str = ""
    gateways: Gateways = NO_GATEWAYS
    canary: tuple[Endpoint, ...] = ()
    api_server: Endpoint | None = None


def claim(job: ComputeJob, terms: Terms) -> Manifest:
    """Describe the claim that holds the job's workspace."""
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": terms.resources.disk}},
    }
    if terms.storage_class_name:
        spec["storageClassName"] = terms.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(job, terms, claim_name(job.name)),
        "spec": spec,
    }


def pod(job: ComputeJob, terms: Terms, phase: Phase, attempt: int, images: Images) -> Manifest:
    """Describe the pod of a phase."""
    match phase:
        case "loading":
            return _loader(job, terms, attempt, images)
        case "algorithm":
            return _algorithm(job, terms)
        case "publishing":
            return _publisher(job, terms, attempt, images.publisher)


def loader_task(
    job: ComputeJob,
    terms: Terms,
    provider_url: str = "",
    attempt: int = 0,
    gateways: Gateways = NO_GATEWAYS,
) -> LoaderTask:
    """Say what the loader has to bring."""
    algorithm = job.spec.algorithm
    return LoaderTask(
        job=job.name,
        datasets=job.spec.datasets,
        algorithm_id=algorithm.id,
        algorithm_files=algorithm.files,
        raw_code=algorithm.raw_code,
        algorithm_ddo=algorithm.ddo,
        custom_data=algorithm.custom_data,
        egress=terms.egress,
        namespace=job.namespace,
        attempt=attempt,
        algorithm_from_provider=algorithm.from_provider,
        provider_url=provider_url,
        algorithm_secret=algorithm.secret,
        gateways=gateways,
    )


def closed(terms: Terms, images: Images) -> tuple[Endpoint, ...]:
    """List what an algorithm must not reach, which its launcher tries before it begins."""
    if not terms.proves_isolation:
        return ()
    if terms.network_isolation == "CanaryOnly" or images.api_server is None:
        return images.canary
    return (*images.canary, images.api_server)


def publisher_task(job: ComputeJob, terms: Terms, attempt: int = 0) -> PublisherTask:
    """Say whose results the publisher has to bring where."""
    failure = st.first_failure(job.status)
    return PublisherTask(
        job=job.name,
        namespace=job.namespace,
        uid=job.uid,
        owner=job.spec.consumer,
        viewers=job.spec.additional_viewers,
        outcome=failure.reason if failure else st.Reason.SUCCEEDED,
        store=_store_as_mounted(terms.store),
        retention=terms.retention,
        max_files=terms.max_files,
        max_bytes=terms.max_bytes,
        attempt=attempt,
    )


def _store_as_mounted(store: Store) -> Store:
    if store.url.startswith("file:"):
        return replace(store, url=f"file://{RESULTS_MOUNT}")
    return store


def _loader(job: ComputeJob, terms: Terms, attempt: int, images: Images) -> Manifest:
    deadlines = terms.deadlines
    asks = job.spec.asks_provider
    secrets = secrets_of(job.spec.datasets, job.spec.algorithm.secret)
    mounts = [_source_mount(number) for number in range(len(secrets))]
    task = loader_task(job, terms, images.provider_url if asks else "", attempt, images.gateways)
    return _pod(
        job,
        terms,
        ("loading", attempt),
        container=_own_container(
            "loader", images.loader, [_WHOLE_WORKSPACE, *([_TOKEN] if asks else ()), *mounts]
        ),
        seconds=deadlines.volumes + deadlines.loading + _MARGIN_SECONDS,
        task=replace(
            task,
            canary=images.canary if terms.proves_isolation else (),
            closed=closed(terms, images),
        ).encode(),
        volumes=[
            *([_token_volume()] if asks else ()),
            *(_source_volume(number, name) for number, name in enumerate(secrets)),
            # Not mounted: the loader goes, and the workspace with it, where the claims can be had.
            *_claim_volumes(job),
        ],
    )


def _source_mount(number: int) -> Manifest:
    return {"name": f"source-{number}", "mountPath": f"{SOURCES_MOUNT}/{number}", "readOnly": True}


def _source_volume(number: int, secret: str) -> Manifest:
    """Describe a Secret's one key; without it the loader starts all the same, and says so."""
    return {
        "name": f"source-{number}",
        "secret": {
            "secretName": secret,
            "items": [{"key": SOURCE_FILE, "path": SOURCE_FILE}],
            "optional": True,
            "defaultMode": 0o440,
        },
    }


def _claims(job: ComputeJob) -> dict[str, str]:
    """Name a volume for each claim that is named: a pod that has one twice does not start."""
    claims = dict.fromkeys(d.claim.name for d in job.spec.datasets if d.claim is not None)
    return {claim: f"claim-{number}" for number, claim in enumerate(claims)}


def _claim_volumes(job: ComputeJob) -> list[Manifest]:
    return [
        {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        for claim, name in _claims(job).items()
    ]


def _claim_mounts(job: ComputeJob) -> list[Manifest]:
    """Mount claims as folders of the inputs, which the loader has made: those are read-only."""
    names, inputs = _claims(job), f"{workspace.VOLUME}/{workspace.INPUTS}"
    return [
        {
            "name": names[dataset.claim.name],
            "mountPath": f"{inputs}/{workspace.folder_name(dataset.id)}",
            "readOnly": True,
            **({"subPath": dataset.claim.path} if dataset.claim.path else {}),
        }
        for dataset in job.spec.datasets
        if dataset.claim is not None
    ]


def _publisher(job: ComputeJob, terms: Terms, attempt: int, image: str) -> Manifest:
    mounts: list[Manifest] = [_WHOLE_WORKSPACE]
    volumes: list[Manifest] = []
    if terms.store.credentials_secret:
        mounts.append({"name": "credentials", "mountPath": CREDENTIALS_MOUNT, "readOnly": True})
        secret = {"secretName": terms.store.credentials_secret, "defaultMode": 0o440}
        volumes.append({"name": "credentials", "secret": secret})
    if terms.store.url.startswith("file:"):
        share, _, folder = terms.store.url.removeprefix("file://").strip("/").partition("/")
        path = f"{folder}/{job.uid}" if folder else job.uid
        mounts.append(
            {"name": "results", "mountPath": f"{RESULTS_MOUNT}/{job.uid}", "subPath": path}
        )
        volumes.append({"name": "results", "persistentVolumeClaim": {"claimName": share}})
    return _pod(
        job,
        terms,
        ("publishing", attempt),
        container=_own_container("publisher", image, mounts),
        seconds=terms.deadlines.publishing + _MARGIN_SECONDS,
        task=publisher_task(job, terms, attempt).encode(),
        volumes=volumes,
    )


def _algorithm(job: ComputeJob, terms: Terms) -> Manifest:
    container = job.spec.algorithm.container
    manifest = _pod(
        job,
        terms,
        ("algorithm", 0),
        container={
            "name": "algorithm",
            "image": container.reference,
            "imagePullPolicy": "IfNotPresent" if container.digest else "Always",
            "command": [
                f"{workspace.LAUNCHER_MOUNT}/{workspace.LAUNCHER_SHELL}",
                "sh",
                f"{workspace.LAUNCHER_MOUNT}/{workspace.LAUNCHER_SCRIPT}",
                _literal(container.entrypoint),
            ],
            "env": _variables(job),
            "resources": _algorithm_resources(terms),
            "securityContext": _container_security(read_only=False),
            "volumeMounts": [*_algorithm_mounts(), *_claim_mounts(job)],
        },
        seconds=terms.deadlines.starting + terms.max_duration + _MARGIN_SECONDS,
        volumes=_claim_volumes(job),
    )
    spec = manifest["spec"]
    spec["schedulingGates"] = [{"name": GATE}]
    spec["terminationGracePeriodSeconds"] = 1
    spec["dnsPolicy"] = "None"
    spec["dnsConfig"] = {"nameservers": ["127.0.0.1"]}
    if terms.allow_network_access:
        manifest["metadata"]["labels"][NETWORK_LABEL] = PUBLIC_NETWORK
        spec["dnsConfig"] = {"nameservers": list(terms.nameservers) or ["127.0.0.1"]}
    if terms.pods.runtime_class_name:
        spec["runtimeClassName"] = terms.pods.runtime_class_name
    return manifest


def _algorithm_mounts() -> list[Manifest]:
    folders = [
        {
            "name": "workspace",
            "mountPath": f"{workspace.VOLUME}/{folder}",
            "subPath": folder,
            "readOnly": folder in workspace.READ_ONLY,
        }
        for folder in (*workspace.READ_ONLY, *workspace.WRITABLE)
    ]
    launcher = {
        "name": "workspace",
        "mountPath": workspace.LAUNCHER_MOUNT,
        "subPath": workspace.LAUNCHER,
        "readOnly": True,
    }
    return [*folders, launcher, _TMP]


def _algorithm_resources(terms: Terms) -> Manifest:
    granted = {"cpu": terms.resources.cpu, "memory": terms.resources.memory}
    return {
        "requests": {**granted, "ephemeral-storage": _SCRATCH["request"]},
        "limits": {**granted, "ephemeral-storage": _SCRATCH["limit"]},
    }


def _variables(job: ComputeJob) -> list[Manifest]:
    own = workspace.algorithm_variables(
        (dataset.id for dataset in job.spec.datasets),
        job.spec.algorithm.id,
        hashlib.sha256(f"secret of {job.uid}".encode()).hexdigest()[:_SECRET_DIGITS],
    )
    return [
        {"name": name, "value": _literal(value)}
        for name, value in (*job.spec.algorithm.env, *own.items())
    ]


def _literal(text: str) -> str:
    """Keep Kubernetes from expanding `$(VAR)`: it reads `$$` as one dollar sign."""
    return text.replace("$", "$$")


def _own_container(name: str, image: str, mounts: list[Any]) -> Manifest:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": _OWN_RESOURCES,
        "securityContext": _container_security(read_only=True),
        "volumeMounts": [*mounts, _TASK, _TMP],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - a bounded volume
    }


def _container_security(*, read_only: bool) -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only,
    }


def _pod(
    job: ComputeJob,
    terms: Terms,
    place: tuple[Phase, int],
    *,
    container: Manifest,
    seconds: int,
    task: str | None = None,
    volumes: list[Any] | None = None,
) -> Manifest:
    phase, attempt = place
    metadata = _metadata(job, terms, pod_name(job.name, phase, attempt))
    metadata["labels"] |= {PHASE_LABEL: phase, ATTEMPT_LABEL: str(attempt)}
    all_volumes = [_workspace_volume(job), _tmp_volume(), *(volumes or ())]
    if task is not None:
        metadata["annotations"] = {TASK_ANNOTATION: task}
        all_volumes.append(_task_volume())
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "serviceAccountName": f"{terms.name}-{POD_NAMES[phase]}",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": 5,
            "securityContext": _pod_security(terms),
            "containers": [container],
            "volumes": all_volumes,
            **_placement(terms),
        },
    }


def _metadata(job: ComputeJob, terms: Terms, name: str) -> Manifest:
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "c2d-operator",
            JOB_LABEL: job.name,
            JOB_UID_LABEL: job.uid,
            ENVIRONMENT_LABEL: terms.name,
        },
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": job.name,
                "uid": job.uid,
                "controller": True,
            }
        ],
    }


def _workspace_volume(job: ComputeJob) -> Manifest:
    return {
        "name": "workspace",
        "persistentVolumeClaim": {"claimName": claim_name(job.name)},
    }


def _tmp_volume() -> Manifest:
    return {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE}}


def _task_volume() -> Manifest:
    field = {"fieldPath": f"metadata.annotations['{TASK_ANNOTATION}']"}
    return {"name": "task", "downwardAPI": {"items": [{"path": TASK_FILE, "fieldRef": field}]}}


def _token_volume() -> Manifest:
    """Describe a token that only the provider takes, and only as long as the pod is there."""
    token = {"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": TOKEN_FILE}
    return {"name": "provider-token", "projected": {"sources": [{"serviceAccountToken": token}]}}


def _pod_security(terms: Terms) -> Manifest:
    user = {
        "runAsUser": terms.pods.run_as_user,
        "runAsGroup": terms.pods.run_as_group,
        "fsGroup": terms.pods.fs_group,
    }
    return {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "fsGroupChangePolicy": "OnRootMismatch",
        **{key: value for key, value in user.items() if value is not None},
    }


def _placement(terms: Terms) -> Manifest:
    pods = terms.pods
    placement: Manifest = {
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [dict(toleration) for toleration in pods.tolerations],
        "imagePullSecrets": [{"name": name} for name in pods.image_pull_secrets],
        "priorityClassName": pods.priority_class_name,
    }
    return {key: value for key, value in placement.items() if value}
