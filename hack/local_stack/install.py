"""Installing the project: its resources, then its manifests with this stack's values."""

import ipaddress
import json
import os
import shutil
import socket
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack import settings
from local_stack.chain import CHAIN_ID, NETWORK, Chain
from local_stack.console import StackError, say, working
from local_stack.images import Image
from local_stack.kubectl import Kubectl
from local_stack.processes import failure, wait_until
from local_stack.services import Files, Store

SYSTEM_NAMESPACE = "c2d-system"
JOB_NAMESPACE = "c2d-jobs"
ENVIRONMENT = "local"
PAID_ENVIRONMENT = "local-paid"
OPERATOR = "c2d-operator"
PROVIDER = "c2d-provider"
SWEEPER = "c2d-sweeper"
CANARY = "c2d-canary"
PROGRAMS = (OPERATOR, PROVIDER, CANARY)
IMAGES = (OPERATOR, PROVIDER, "c2d-publisher")
RETENTION = 30 * 24 * 3600
_CRDS = settings.REPOSITORY / "crds"
_OVERLAY = settings.REPOSITORY / "manifests/overlays/local"
_RESOURCES = ("crd/computejobs.computetodata.io", "crd/computeenvironments.computetodata.io")
_READY_LIMIT = 180.0
_TOO_MANY_RESTARTS = 3


@dataclass(frozen=True)
class Values:
    """What the installation depends on: images, store, files, volumes, chain.

    `provider_address` is that of the provider's Service; None where the cluster chooses one.
    """

    programs: dict[str, Image]
    store: Store
    files: Files
    storage_class: str
    chain: Chain
    provider_address: str | None = None


def install(kubectl: Kubectl, folder: Path, values: Values) -> None:
    """Apply resources and manifests, and wait until operator and environment are ready."""
    with working("Installing the project"):
        kubectl.apply("--kustomize", _CRDS)
        kubectl("wait", "--for=condition=Established", "--timeout=60s", *_RESOURCES)
        kubectl.apply("--kustomize", write_deployment(folder / "deploy", values))
        try:
            _wait(kubectl)
        except StackError as error:
            raise failure(str(error).splitlines()[0], _diagnosis(kubectl)) from error
    say("Operator and environment are ready")


def uninstall(kubectl: Kubectl, folder: Path) -> None:
    """Remove everything that `install` applied, jobs and their data included."""
    ignore = "--ignore-not-found"
    with working("Removing the project from the cluster"):
        if (folder / "deploy").exists():
            kubectl("delete", ignore, "--kustomize", folder / "deploy")
        kubectl("delete", ignore, "--kustomize", _CRDS)


def _wait(kubectl: Kubectl) -> None:
    for name in PROGRAMS:
        wait_until(
            lambda name=name: _is_rolled_out(kubectl, name),  # type: ignore[misc]  # a default binds the loop's value
            f"The Deployment {name} is not available (its log says why)",
            limit=_READY_LIMIT,
            log=kubectl.log,
            alive=lambda: _restarts(kubectl) < _TOO_MANY_RESTARTS,
        )
    for name in (ENVIRONMENT, PAID_ENVIRONMENT):
        wait_until(
            lambda name=name: kubectl.is_true("computeenvironment", name, "Ready", JOB_NAMESPACE),  # type: ignore[misc]  # as above
            f"The ComputeEnvironment {name} is not ready",
            limit=_READY_LIMIT,
            log=kubectl.log,
        )


def _is_rolled_out(kubectl: Kubectl, name: str) -> bool:
    if not kubectl.is_true("deployment", name, "Available", SYSTEM_NAMESPACE):
        return False
    body = kubectl.read("deployment", name, f"--namespace={SYSTEM_NAMESPACE}") or {}
    status = body.get("status", {})
    wanted = body.get("spec", {}).get("replicas")
    return bool(wanted == status.get("updatedReplicas") == status.get("replicas"))


def _restarts(kubectl: Kubectl) -> int:
    """Count how often the newest program's container has ended and been started again."""
    pods = kubectl.read("pods", f"--namespace={SYSTEM_NAMESPACE}") or {"items": []}
    newest: dict[str, Any] = max(
        pods["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default={}
    )
    containers = newest.get("status", {}).get("containerStatuses", ())
    return max((one["restartCount"] for one in containers), default=0)


def _diagnosis(kubectl: Kubectl) -> Path:
    """Collect what programs that do not become ready have to say."""
    log = kubectl.log.with_name("install.log")
    system = f"--namespace={SYSTEM_NAMESPACE}"
    asked = (
        ("get", "computeenvironments", f"--namespace={JOB_NAMESPACE}", "--output=yaml"),
        ("describe", "pods", system),
        *(("logs", f"deployment/{name}", system, "--tail=50") for name in PROGRAMS),
    )
    answers = []
    for words in asked:
        try:
            answers.append(kubectl(*words))
        except StackError as error:
            answers.append(str(error))
    log.write_text("\n".join(answers))
    return log


def write_deployment(folder: Path, values: Values) -> Path:
    """Write the kustomization that adds this stack's values to the shipped overlay."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(values.chain.address_file, folder / "address.json")
    images = [(name, values.programs[name]) for name in IMAGES]
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(_OVERLAY, folder)],
        "images": [
            {"name": name, "newName": image.repository, "digest": image.digest}
            for name, image in images
        ],
        "configMapGenerator": [
            {
                "name": "operator-settings",
                "namespace": SYSTEM_NAMESPACE,
                "behavior": "merge",
                "literals": [
                    f"C2D_LOADER_IMAGE={values.programs['c2d-loader'].reference}",
                    f"C2D_PUBLISHER_IMAGE={values.programs['c2d-publisher'].reference}",
                ],
            },
            *_provider_settings(values),
            _sweeper_settings(values.store),
        ],
        "secretGenerator": _secrets(values),
        "patches": [
            _environment_patch(values, ENVIRONMENT, "environment-free"),
            _environment_patch(values, PAID_ENVIRONMENT, "environment-paid"),
            *_service_patch(values.provider_address),
            *_sweeper_patch(values.store.endpoint),
        ],
    }
    path = folder / "kustomization.yaml"
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))
    return folder


def _provider_settings(values: Values) -> list[dict[str, object]]:
    files = ",".join(f"{one['cidr']}:{one['port']}" for one in egress(values.files.url))
    urls = [f"C2D_PROVIDER_URLS=http://{values.provider_address}"]
    literals = [
        f"C2D_RPC_URLS={CHAIN_ID}={values.chain.url}",
        f"C2D_EGRESS={files}",
        *(urls if values.provider_address else ()),
    ]
    merged = {"namespace": SYSTEM_NAMESPACE, "behavior": "merge"}
    return [
        {"name": "provider-settings", **merged, "literals": literals},
        {"name": "provider-addresses", **merged, "files": ["address.json"]},
    ]


def _sweeper_settings(store: Store) -> dict[str, object]:
    literals = [
        f"STORE={store.url}",
        f"ENDPOINT={store.endpoint}",
        f"REGION={store.region}",
    ]
    merged = {"namespace": JOB_NAMESPACE, "behavior": "merge"}
    return {"name": "sweeper-settings", **merged, "literals": literals}


def _sweeper_patch(endpoint: str) -> list[dict[str, object]]:
    """Open the sweeper's way to a store of an endpoint: its address if the URL has one."""
    if not endpoint:
        return []
    parts = urllib.parse.urlsplit(endpoint)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    rule: dict[str, object] = {"ports": [{"protocol": "TCP", "port": port}]}
    with suppress(ValueError):
        rule["to"] = [{"ipBlock": {"cidr": str(ipaddress.ip_network(parts.hostname or ""))}}]
    operations = [{"op": "replace", "path": "/spec/egress/1", "value": rule}]
    target = {"kind": "NetworkPolicy", "name": SWEEPER}
    return [{"target": target, "patch": json.dumps(operations)}]


def _secrets(values: Values) -> list[dict[str, object]]:
    """Give the store's keys to publishers and the provider, which has keys of its own.

    With that of the free environment's consumer it buys files of other providers.
    """
    store = [
        f"AWS_ACCESS_KEY_ID={values.store.access_key}",
        f"AWS_SECRET_ACCESS_KEY={values.store.secret_key}",
    ]
    keys = [f"provider.key={values.chain.accounts['provider'].key}"]
    consumer = [f"key={values.chain.accounts['environment-free'].key}"]
    system = {"namespace": SYSTEM_NAMESPACE}
    plain = {"options": {"disableNameSuffixHash": True}}
    return [
        {"name": "result-store", "namespace": JOB_NAMESPACE, "literals": store, **plain},
        {"name": "result-store", **system, "literals": store, **plain},
        {"name": "provider-keys", **system, "literals": keys, **plain},
        {"name": "environment-consumer", **system, "literals": consumer, **plain},
    ]


def _service_patch(address: str | None) -> list[dict[str, object]]:
    operations = [{"op": "add", "path": "/spec/clusterIP", "value": address}]
    target = {"kind": "Service", "name": PROVIDER}
    return [{"target": target, "patch": json.dumps(operations)}] if address else []


def _environment_patch(values: Values, name: str, account: str) -> dict[str, object]:
    results: dict[str, object] = {"store": values.store.url, "region": values.store.region}
    if values.store.endpoint:
        results["endpoint"] = values.store.endpoint
    results["credentialsSecret"] = "result-store"
    results["retention"] = RETENTION
    consumer = {"address": values.chain.accounts[account].address}
    if name == ENVIRONMENT:
        consumer["keySecret"] = "environment-consumer"
    changes: dict[str, object] = {
        "/spec/results": results,
        "/spec/storageClassName": values.storage_class,
        "/spec/egress": egress(values.files.url),
        "/spec/consumer": consumer,
    }
    if name == PAID_ENVIRONMENT:
        token = json.loads(values.chain.address_file.read_text())[NETWORK]["Ocean"]
        changes["/spec/prices"] = [{"chainId": CHAIN_ID, "token": token, "perMinute": "1"}]
    operations = [{"op": "add", "path": path, "value": value} for path, value in changes.items()]
    return {
        "target": {"kind": "ComputeEnvironment", "name": name},
        "patch": json.dumps(operations),
    }


def egress(url: str) -> list[dict[str, object]]:
    """List the addresses and the port behind a URL, as an environment's allow-list wants them."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise StackError(f"{parts.hostname} of {url} has no address here") from error
    addresses = sorted({str(entry[4][0]) for entry in found})
    return [{"cidr": str(ipaddress.ip_network(one)), "port": port} for one in addresses]
