"""An API server with the project's manifests, and operators that can be started and killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from c2d_operator.cluster import Cluster
from local_stack import toolchain
from local_stack.api_server import api_server

Json = Mapping[str, Any]
ROOT = Path(__file__).parents[1]
JOBS = "c2d-jobs"
OPERATOR = "system:serviceaccount:c2d-system:c2d-operator"
LIMIT = 60.0


class Stack:
    """An API server with the project's manifests and an operator that can be killed."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self.folder = folder
        self.kubeconfig = kubeconfig
        self.kubectl_program = toolchain.ensure("kubectl")["kubectl"]
        self.process: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, str] = {}

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        command: list[str | Path] = [
            self.kubectl_program,
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
        ]
        done = subprocess.run(
            command, input=stdin, capture_output=True, encoding="utf-8", check=False, timeout=LIMIT
        )
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return str(done.stdout)

    def install(self) -> None:
        self.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        self.kubectl(
            "wait",
            "--for=condition=Established",
            "crd",
            "computejobs.computetodata.io",
            "computeenvironments.computetodata.io",
        )
        self.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests/base"))
        self.operator_config("operator")

    def admin_config(self) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("config", "view", "--raw", "-o", "json")))

    def operator_config(self, name: str, cluster: Json | None = None) -> Path:
        """Write a kubeconfig of the operator's own account, for this or another front."""
        token = self.kubectl("create", "token", "-n", "c2d-system", "c2d-operator")
        config = self.admin_config()
        config["users"][0]["user"] = {"token": token.strip()}
        if cluster:
            config["clusters"][0]["cluster"] = cluster
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def start(self, port: int = 18080) -> None:
        self.process = self.spawn(port, None, **self.settings)

    def spawn(
        self, port: int, kubeconfig: Path | None = None, **settings: str
    ) -> "subprocess.Popen[bytes]":
        environ = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig or self.folder / "operator.kubeconfig"),
            **{"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"},  # as in the image
            "C2D_LOADER_IMAGE": "loader:1",
            "C2D_PUBLISHER_IMAGE": "publisher:1",
            "C2D_NAMESPACES": JOBS,
            "C2D_LOG_FORMAT": "plain",
            "C2D_HEALTH_PORT": str(port),
            "C2D_METRICS_PORT": str(port + 1000),
            **settings,
        }
        with (self.folder / "operator.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "c2d_operator"], env=environ, stdout=log, stderr=log
            )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(LIMIT)
        self.process = None
        return code

    def writes(self, job: str) -> list[str]:
        """List the operator's writes of a job and its children, without events."""
        found = []
        for line in (self.folder / "audit.log").read_text().splitlines():
            entry = json.loads(line)
            target = entry.get("objectRef", {})
            if (
                entry["user"]["username"] == OPERATOR
                and entry["verb"] not in ("get", "list", "watch")
                and target["resource"] not in ("events", "leases", "selfsubjectreviews")
                and str(target.get("name", "")).startswith(job)
                and entry["responseStatus"]["code"] < 300
            ):
                parts = (entry["verb"], target["resource"], target.get("subresource", ""))
                found.append(" ".join(filter(None, parts)))
        return found


def environment(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "computetodata.io/v1alpha1",
        "kind": "ComputeEnvironment",
        "metadata": {"name": name, "namespace": JOBS},
        "spec": {
            "resources": {
                "default": {"cpu": "100m", "memory": "64Mi", "disk": "1Gi"},
                "max": {"cpu": "1", "memory": "1Gi", "disk": "1Gi"},
            },
            "maxJobs": 100,
            "storageClassName": "by-hand",
            "results": {"store": "file://results"},
            "networkIsolation": "Unverified",
            **spec,
        },
    }


def job(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "computetodata.io/v1alpha1",
        "kind": "ComputeJob",
        "metadata": {"name": name, "namespace": JOBS},
        "spec": {
            "environment": "env",
            "datasets": [{"id": "data", "source": {"files": [{"inline": {"text": "1"}}]}}],
            "algorithm": {
                "rawCode": "print(1)",
                "container": {"image": "python", "tag": "3", "entrypoint": "python $ALGO"},
            },
            **spec,
        },
    }


def volume(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "by-hand",
            "hostPath": {"path": f"/nowhere/{name}"},
        },
    }


STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "by-hand"},
    "provisioner": "kubernetes.io/no-provisioner",
    "reclaimPolicy": "Delete",
}


async def eventually(
    probe: Callable[[], Awaitable[Json | None]], what: str, limit: float = LIMIT
) -> Json:
    deadline = asyncio.get_running_loop().time() + limit
    while asyncio.get_running_loop().time() < deadline:
        found = await probe()
        if found is not None:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {limit} s")


def condition(body: Json, type_: str) -> Json:
    conditions = body.get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == type_), {})


async def until(cluster: Cluster, name: str, type_: str, value: str = "True") -> Json:
    async def probe() -> Json | None:
        body = await cluster.read("ComputeJob", JOBS, name)
        return body if body and condition(body, type_).get("status") == value else None

    return await eventually(probe, f"{type_}={value} of {name}")


async def children(cluster: Cluster, name: str) -> list[str]:
    selector = f"computetodata.io/job={name}"
    return [
        body["metadata"]["name"]
        for kind in ("Pod", "PersistentVolumeClaim")
        async for page, _ in cluster.pages(kind, JOBS, selector)
        for body in page
    ]


@contextmanager
def operator_stack(folder: Path, volumes: int) -> Iterator[Stack]:
    """Run an API server with manifests, volumes to bind, and the environment `env`."""
    with api_server(folder, controller_manager=True, audit=True) as kubeconfig:
        stack = Stack(folder, kubeconfig)
        stack.install()
        objects = [STORAGE_CLASS, *(volume(f"by-hand-{number}") for number in range(volumes))]
        everything = {"apiVersion": "v1", "kind": "List", "items": objects}
        stack.kubectl("create", "-f", "-", stdin=json.dumps(everything))
        stack.kubectl("apply", "-f", "-", stdin=json.dumps(environment("env")))
        yield stack


@contextmanager
def running_operator(folder: Path, volumes: int, **settings: str) -> Iterator[Stack]:
    """Run an operator of these settings as well; it must live to the end, and then end well."""
    with operator_stack(folder, volumes) as stack:
        stack.settings |= settings
        stack.start()
        stack.kubectl("wait", "--for=condition=Ready", "-n", JOBS, "cenv/env")
        yield stack
        assert stack.process is not None
        assert stack.process.poll() is None, "the operator died"
        assert stack.stop() == 0
