"""How far a loader has come, from its log by way of a real API server to the job's status.

The kubelet that the API server asks for logs is the test's own: it answers as badly as it likes.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web

from c2d_api.progress import Tally
from c2d_operator.cluster import LOG_BYTES, Cluster, NotFoundError
from operator_stack import JOBS, Json, Stack, eventually, job, running_operator, until
from pretend_node import node

NODE = "node-with-logs"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_operator(tmp_path_factory.mktemp("progress") / "cluster", volumes=2) as stack:
        yield stack


class Kubelet:
    """What answers the API server when it is asked for a log."""

    def __init__(self) -> None:
        self.text = ""
        self.hangs = False
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if self.hangs:
            await asyncio.sleep(3600)
        return web.Response(text=self.text, content_type="text/plain")


@pytest.fixture
async def kubelet(stack: Stack) -> AsyncIterator[Kubelet]:
    kubelet = Kubelet()
    application = web.Application()
    application.router.add_get("/containerLogs/{path:.*}", kubelet.answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    keys = stack.folder / "keys"
    context.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    stack.kubectl("create", "-f", "-", stdin=json.dumps(body))
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": runner.addresses[0][1]}},
    }
    patch = json.dumps({"status": status})
    stack.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", patch)
    yield kubelet
    stack.kubectl("delete", "node", NODE)
    await runner.cleanup()


async def placed(stack: Stack, cluster: Cluster, pod: str, namespace: str = JOBS) -> None:
    """Wait for a pod and give it to the node, as a scheduler does."""

    async def there() -> Json | None:
        return await cluster.read("Pod", namespace, pod)

    await eventually(there, f"the pod {pod}")
    target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/binding"
    await asyncio.to_thread(
        stack.kubectl, "create", f"--raw={path}", "-f", "-", stdin=json.dumps(body)
    )


async def shown(cluster: Cluster, name: str, loading: Json) -> None:
    async def probe() -> Json | None:
        body = await cluster.read("ComputeJob", JOBS, name)
        return body if body and body.get("status", {}).get("loading") == loading else None

    await eventually(probe, f"{loading} of {name}")


async def test_a_long_load_shows_how_far_it_has_come(
    stack: Stack, cluster: Cluster, kubelet: Kubelet
) -> None:
    finished = asyncio.Event()

    def script(_job: str, phase: str) -> int | None:
        return None if phase == "loading" and not finished.is_set() else 0

    kubelet.text = f"Loading\n{Tally(0, 2, 4).encode()}\n{Tally(1, 2, 5, 9).encode()}\n"
    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job("long")))
        await placed(stack, cluster, "long-loader-0")
        await shown(cluster, "long", {"files": 1, "filesTotal": 2, "bytes": 5, "bytesTotal": 9})
        kubelet.text = Tally(1, 2, 6).encode()
        await shown(cluster, "long", {"files": 1, "filesTotal": 2, "bytes": 6})
        before = len(kubelet.asked)
        kubelet.text = Tally(7, 2, 7).encode() + "x" * 10 * LOG_BYTES
        kubelet.hangs = True

        async def asked_again() -> Json | None:
            return {} if len(kubelet.asked) > before else None

        await eventually(asked_again, "another look at the log")
        finished.set()
        body = await until(cluster, "long", "Complete")
    assert body["status"]["loading"] == {
        "files": 2, "filesTotal": 2, "bytes": 10, "bytesTotal": 10,
    }  # fmt: skip
    for path, query in kubelet.asked:
        assert path == f"/containerLogs/{JOBS}/long-loader-0/loader"
        assert {"tailLines", "limitBytes"} == set(query)
    statuses = [write for write in stack.writes("long") if write.endswith("status")]
    assert len(stack.writes("long")) <= 16 + 2, statuses


async def test_the_end_of_a_log_is_bounded(
    stack: Stack, cluster: Cluster, kubelet: Kubelet
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "chatty"},
        "spec": {"containers": [{"name": "one", "image": "none"}]},
    }

    async def account() -> Json | None:
        return await cluster.read("ServiceAccount", "default", "default")

    await eventually(account, "the namespace's account")
    stack.kubectl("create", "-n", "default", "-f", "-", stdin=json.dumps(pod))
    await placed(stack, cluster, "chatty", "default")
    kubelet.text = "é" * 10 * LOG_BYTES
    text = await cluster.end_of_log("default", "chatty")
    assert len(text.encode()) == LOG_BYTES
    with pytest.raises(NotFoundError):
        await cluster.end_of_log("default", "silent")
