"""A small model of an API server and a node, for tests of the operator's decisions.

`ApiServer` keeps what decisions depend on: resource versions, uids, preconditions, graceful
deletion, owner references and a log of events that each reader follows at its own pace. `Node`
makes the moves of scheduler, volume binder and kubelet. `PausingCluster` lets the operator's real
actions stop at each call, so that a test decides when, and whether, a request lands. `Leader` is
one operator process, which makes its passes over one job.
"""

from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from c2d_api.computeenvironment import parse_environment
from c2d_api.computejob import API_VERSION, ComputeJob
from c2d_api.exits import Report
from c2d_api.progress import Tally
from c2d_api.times import format_time, parse_time
from c2d_operator import status as st
from c2d_operator.actions import Hands, delete_child, perform
from c2d_operator.admission import admit, contender
from c2d_operator.children import GATE, ChildKind, Pod, owner_uid
from c2d_operator.cluster import (
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
)
from c2d_operator.plan import plan
from c2d_operator.pods import Images
from c2d_operator.steps import Delete, Facts, Step
from c2d_operator.store import Store

Json = dict[str, Any]
Place = tuple[str, str, str]

START = datetime(2040, 1, 1, tzinfo=UTC)
NAMESPACE = "jobs"
ENVIRONMENT = "small"
NAME = "sum"
KEY = (NAMESPACE, NAME)
KINDS = ("PersistentVolumeClaim", "Pod", "ComputeJob")
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Available",
    "message": "",
    "lastTransitionTime": format_time(START),
}
LOADED = Report(count=2, total_bytes=30).encode()
PUBLISHED = Report(
    count=1,
    total_bytes=5,
    manifest_digest=f"sha256:{'0' * 64}",
    files=({"name": "algorithm.log", "type": "algorithmLog", "size": 5},),
).encode()
DEADLINES = {"volumes": 300, "loading": 600, "starting": 400, "publishing": 900, "cleanup": 300}


def environment_body(**spec: Any) -> Json:
    """Write a ComputeEnvironment that takes jobs."""
    quantities = {"cpu": "1", "memory": "1Gi", "disk": "1Gi"}
    return {
        "apiVersion": API_VERSION,
        "kind": "ComputeEnvironment",
        "metadata": {
            "name": ENVIRONMENT,
            "namespace": NAMESPACE,
            "uid": "environment-uid",
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {
            "resources": {
                "default": quantities,
                "max": {"cpu": "2", "memory": "2Gi", "disk": "2Gi"},
            },
            "maxJobs": 2,
            "maxJobDuration": 1000,
            "maxQueueDuration": 600,
            "deadlines": DEADLINES,
            "pods": {"user": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}},
            "results": {"store": "s3://results", "endpoint": "http://10.1.2.3:9000"},
            "networkIsolation": "Unverified",
            **spec,
        },
        "status": {"conditions": [READY]},
    }


def job_manifest(name: str = NAME, **spec: Any) -> Json:
    """Write a ComputeJob as a person would apply it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ComputeJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "environment": ENVIRONMENT,
            "datasets": [{"id": "numbers", "source": {"files": [{"inline": {"text": "1 2"}}]}}],
            "algorithm": {
                "rawCode": "print(1)",
                "container": {"image": "python", "tag": "3.11", "entrypoint": "python $ALGO"},
            },
            **spec,
        },
    }


@dataclass(frozen=True)
class Event:
    """One entry of a watch."""

    type: str
    kind: str
    body: Json


class ApiServer:
    """Objects by place, with what the real one guarantees about changes to them.

    Bodies are never changed in place: whoever holds one holds the object as it was.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.now = START
        self.version = 100
        self.objects: dict[Place, Json] = {}
        self.events: dict[str, list[Event]] = defaultdict(list)

    def read(self, kind: str, namespace: str, name: str) -> Json | None:
        """Read the newest version of an object."""
        return self.objects.get((kind, namespace, name))

    def log(self, namespace: str, name: str) -> str:
        """Read what a pod has printed: a line of progress, with a byte a second."""
        pod = self.read("Pod", namespace, name)
        if pod is None:
            raise NotFoundError(f"pods {name} is not there")
        if not is_running(pod):
            return ""
        seconds = self.now - parse_time(container_state(pod)["running"]["startedAt"])
        return f"begun\n{Tally(0, 2, int(seconds.total_seconds())).encode()}\n"

    def of_kind(self, *kinds: str) -> list[Json]:
        """List the objects of some kinds."""
        return [body for place, body in self.objects.items() if place[0] in kinds]

    def create(self, kind: str, namespace: str, manifest: Json) -> Json:
        """Create an object under a new uid."""
        place = (kind, namespace, manifest["metadata"]["name"])
        if place in self.objects:
            raise AlreadyExistsError(f"{kind} {place[2]} already exists")
        meta = {
            **manifest["metadata"],
            "uid": f"{place[2]}-uid-{self.version}",
            "creationTimestamp": format_time(self.now),
            "generation": 1,
        }
        status = {"phase": "Pending"} if kind in ("Pod", "PersistentVolumeClaim") else {}
        return self._write("ADDED", place, {**manifest, "metadata": meta, "status": status})

    def delete(
        self, kind: str, namespace: str, name: str, uid: str, grace: int | None = None
    ) -> Json:
        """Delete gracefully where something still holds the object, else at once."""
        place = (kind, namespace, name)
        body = self._expect(place, uid)
        meta = body["metadata"]
        if "deletionTimestamp" in meta:
            return body
        if grace is None:
            grace = body["spec"].get("terminationGracePeriodSeconds", 0)
        marked = {
            **body,
            "metadata": {
                **meta,
                "deletionTimestamp": format_time(self.now + timedelta(seconds=grace)),
                "deletionGracePeriodSeconds": grace,
            },
        }
        held = kind == "PersistentVolumeClaim" or bool(grace and body["spec"].get("nodeName"))
        if held:
            return self._write("MODIFIED", place, marked)
        self.remove(place)
        return marked

    def patch(self, kind: str, namespace: str, name: str, operations: list[Json]) -> Json:
        """Apply the tests and removals of a JSON patch."""
        place = (kind, namespace, name)
        body = self._expect(place)
        for operation in operations:
            path = operation["path"].strip("/").split("/")
            if operation["op"] == "test" and _look(body, path) != operation["value"]:
                raise ConflictError(f"the test of {operation['path']} failed")
            if operation["op"] == "remove":
                body = _without(body, path)
        return self._write("MODIFIED", place, body)

    def write_status(
        self, kind: str, namespace: str, name: str, version: str, status: Json
    ) -> Json:
        """Merge a status into that of an object that still has this version."""
        place = (kind, namespace, name)
        body = self._expect(place)
        if body["metadata"]["resourceVersion"] != version:
            raise ConflictError(f"{name} has changed")
        return self._write("MODIFIED", place, {**body, "status": _merge(body["status"], status)})

    def change(self, body: Json, **parts: Json) -> Json:
        """Replace parts of an object, as its other writers do; a new spec is a new generation."""
        meta = body["metadata"]
        if "spec" in parts and body["kind"] == "ComputeJob":
            meta = {**meta, "generation": meta["generation"] + 1}
        return self._write("MODIFIED", place_of(body), {**body, "metadata": meta, **parts})

    def remove(self, place: Place) -> None:
        """Let an object vanish."""
        body = self.objects.pop(place)
        self.version += 1
        meta = {**body["metadata"], "resourceVersion": str(self.version)}
        self.events[place[0]].append(Event("DELETED", place[0], {**body, "metadata": meta}))

    def orphans(self) -> list[Json]:
        """List the children whose owner is gone: what the garbage collector deletes."""
        owners = {job["metadata"]["uid"] for job in self.of_kind("ComputeJob")}
        children = self.of_kind("Pod", "PersistentVolumeClaim")
        return [body for body in children if owner_uid(body["metadata"]) not in owners]

    def _expect(self, place: Place, uid: str | None = None) -> Json:
        body = self.objects.get(place)
        if body is None:
            raise NotFoundError(f"{place[0]} {place[2]} is not there")
        if uid is not None and body["metadata"]["uid"] != uid:
            raise ConflictError(f"{place[0]} {place[2]} has another uid")
        return body

    def _write(self, event: str, place: Place, body: Json) -> Json:
        self.version += 1
        meta = {**body["metadata"], "resourceVersion": str(self.version)}
        body = {**body, "metadata": meta}
        self.objects[place] = body
        self.events[place[0]].append(Event(event, place[0], body))
        return body


def place_of(body: Json) -> Place:
    """Say where an object is kept."""
    return body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]


def _look(body: Any, path: list[str]) -> Any:
    for part in path:
        body = body[int(part)] if isinstance(body, list) else body.get(part)
    return body


def _without(body: Any, path: list[str]) -> Any:
    first, *rest = path
    if isinstance(body, list):
        index = int(first)
        middle = [_without(body[index], rest)] if rest else []
        return [*body[:index], *middle, *body[index + 1 :]]
    if first not in body:
        raise ConflictError(f"there is no {first}")
    if not rest:
        return {key: value for key, value in body.items() if key != first}
    return {**body, first: _without(body[first], rest)}


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    return {
        **old,
        **{
            key: _merge(old.get(key) or {}, value) if isinstance(value, dict) else value
            for key, value in new.items()
        },
    }


class Node:
    """Scheduler, volume binder and kubelet in one: each method is one move on one pod."""

    def __init__(self, api: ApiServer) -> None:
        """Take the API server that moves are reported to."""
        self._api = api

    def pods(self, may: Callable[[Json], bool]) -> list[Json]:
        """List the pods that a move is open to, in a stable order."""
        pods = [pod for pod in self._api.of_kind("Pod") if may(pod)]
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    def schedule(self, pod: Json) -> None:
        """Find a place for a pod, and bind the claim that waits for its first consumer."""
        name = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        claim = self._api.read("PersistentVolumeClaim", NAMESPACE, name)
        if claim is None or "deletionTimestamp" in claim["metadata"]:
            return
        if claim["status"]["phase"] != "Bound":
            self._api.change(claim, status={"phase": "Bound"})
        condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self._now()}
        status = {**pod["status"], "conditions": [condition]}
        self._api.change(pod, spec={**pod["spec"], "nodeName": "node"}, status=status)

    def hold_up(self, pod: Json, reason: str, message: str = "") -> None:
        """Leave the container waiting for a reason."""
        self._container(pod, {"waiting": {"reason": reason, "message": message}}, "Pending")

    def start(self, pod: Json) -> None:
        """Start the container."""
        self._container(pod, {"running": {"startedAt": self._now()}}, "Running")

    def finish(self, pod: Json, code: int, message: str = "") -> None:
        """End the container."""
        state = container_state(pod).get("running") or {"startedAt": self._now()}
        terminated = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "message": message,
            "startedAt": state["startedAt"],
            "finishedAt": self._now(),
        }
        self._container(pod, {"terminated": terminated}, "Running")

    def evict(self, pod: Json) -> None:
        """End the pod for the node's sake."""
        conditions = [
            *pod["status"].get("conditions", ()),
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"},
        ]
        status = {**pod["status"], "phase": "Failed", "reason": "Evicted", "conditions": conditions}
        if is_running(pod):
            terminated = {"exitCode": 137, "reason": "Error", "finishedAt": self._now()}
            status |= {"containerStatuses": [_container_status(pod, {"terminated": terminated})]}
        self._api.change(pod, status=status)

    def let_go(self, pod: Json) -> None:
        """End what is left of a pod that is being deleted: first its container, then itself."""
        if is_running(pod):
            self.finish(pod, 137)
        else:
            self._api.remove(place_of(pod))

    def free_claims(self) -> bool:
        """Remove the claims that are being deleted and that no pod uses any more."""
        using = {
            pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
            for pod in self._api.of_kind("Pod")
            if pod["spec"].get("nodeName") and not has_ended(pod)
        }
        free = [
            claim
            for claim in self._api.of_kind("PersistentVolumeClaim")
            if "deletionTimestamp" in claim["metadata"] and claim["metadata"]["name"] not in using
        ]
        for claim in free:
            self._api.remove(place_of(claim))
        return bool(free)

    def _container(self, pod: Json, state: Json, phase: str) -> None:
        status = {**pod["status"], "phase": phase}
        self._api.change(
            pod, status=status | {"containerStatuses": [_container_status(pod, state)]}
        )

    def _now(self) -> str:
        return format_time(self._api.now)


def _container_status(pod: Json, state: Json) -> Json:
    return {"name": pod["spec"]["containers"][0]["name"], "state": state}


def container_state(pod: Json) -> Json:
    """Read the state of a pod's container."""
    statuses = pod["status"].get("containerStatuses")
    return dict(statuses[0]["state"]) if statuses else {}


def is_gated(pod: Json) -> bool:
    """Say whether the scheduler leaves a pod alone."""
    return any(gate["name"] == GATE for gate in pod["spec"].get("schedulingGates", ()))


def is_placed(pod: Json) -> bool:
    """Say whether a pod has a node."""
    return "nodeName" in pod["spec"]


def is_running(pod: Json) -> bool:
    """Say whether a pod's container runs."""
    return "running" in container_state(pod)


def has_ended(pod: Json) -> bool:
    """Say whether a pod's container has ended or will never start."""
    return "terminated" in container_state(pod) or pod["status"]["phase"] == "Failed"


def is_going(pod: Json) -> bool:
    """Say whether somebody asked for a pod's deletion."""
    return "deletionTimestamp" in pod["metadata"]


@dataclass(frozen=True)
class Call:
    """One request on its way to the API server; awaiting it hands it to whoever drives."""

    verb: str
    kind: str
    name: str
    land: Callable[[], Any]
    uid: str = ""
    at_once: bool = False

    def __await__(self) -> Generator["Call", Any, Any]:
        """Wait until the driver sends the answer."""
        return (yield self)


class PausingCluster:
    """The operator's `Cluster`, whose every request is a `Call` that a test lets land."""

    def __init__(self, api: ApiServer) -> None:
        """Take the API server that requests go to."""
        self._api = api

    async def read(self, kind: str, namespace: str, name: str) -> Json | None:
        """Ask for an object."""
        answer = await Call("read", kind, name, lambda: self._api.read(kind, namespace, name))
        return cast("Json | None", answer)

    async def read_metadata(self, kind: str, namespace: str, name: str) -> Json | None:
        """Ask for what is not of an object's content."""

        def land() -> Json | None:
            body = self._api.read(kind, namespace, name)
            return body["metadata"] if body else None

        return cast("Json | None", await Call("read", kind, name, land))

    async def warnings(self, namespace: str, uid: str) -> list[Json]:
        """Ask for the warnings about an object; there are none."""
        return cast("list[Json]", await Call("read", "Event", uid, lambda: []))

    async def end_of_log(self, namespace: str, pod: str) -> str:
        """Ask for the end of a log: a pod that runs says how far it has come."""
        return cast("str", await Call("read", "Log", pod, lambda: self._api.log(namespace, pod)))

    async def create(self, kind: str, namespace: str, manifest: Json) -> Json:
        """Ask for a new object."""
        name = manifest["metadata"]["name"]
        return cast(
            "Json",
            await Call("create", kind, name, lambda: self._api.create(kind, namespace, manifest)),
        )

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, grace: int | None = None
    ) -> Json:
        """Ask for the deletion of an object."""

        def land() -> Json:
            return self._api.delete(kind, namespace, name, uid, grace)

        return cast("Json", await Call("delete", kind, name, land, uid, at_once=grace == 0))

    async def patch(self, kind: str, namespace: str, name: str, operations: list[Json]) -> Json:
        """Ask for a change of an object."""
        return cast(
            "Json",
            await Call(
                "patch", kind, name, lambda: self._api.patch(kind, namespace, name, operations)
            ),
        )

    async def write_status(
        self, kind: str, namespace: str, name: str, version: str, status: Json
    ) -> Json:
        """Ask for a new status of an object."""
        return cast(
            "Json",
            await Call(
                "status",
                kind,
                name,
                lambda: self._api.write_status(kind, namespace, name, version, status),
            ),
        )

    def as_cluster(self) -> Cluster:
        """Pass for the real one, of which the operator's actions use these seven methods."""
        return cast("Cluster", self)


def send(coroutine: Coroutine[Call, Any, Any], answer: Any) -> Call | None:
    """Go on with a paused coroutine until its next request; None when it is done."""
    try:
        if isinstance(answer, ClusterError):
            return coroutine.throw(answer)
        return coroutine.send(answer)
    except StopIteration:
        return None


def land(call: Call) -> Any:
    """Let a request reach the API server; an error it answers with is the answer."""
    try:
        return call.land()
    except ClusterError as error:
        return error


class Leader:
    """One operator process: its store, and how far it has followed each watch."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self.store = Store()
        self.hands = Hands(PausingCluster(api).as_cluster(), self.store, Images("l", "p"))
        self.environment = parse_environment(environment_body())
        self.wake: datetime | None = None
        self.again = False
        self._heard: dict[str, int] = {}
        for kind in KINDS:
            for body in api.of_kind(kind):
                self.store.put(kind, body)
            self._heard[kind] = len(api.events[kind])

    def hear(self, kind: str, count: int) -> None:
        """Follow a watch by some events."""
        for event in self._api.events[kind][self._heard[kind] :][:count]:
            self._heard[kind] += 1
            meta = event.body["metadata"]
            if event.type == "DELETED":
                self.store.remove(kind, meta["namespace"], meta["name"], meta["uid"])
            else:
                self.store.put(kind, event.body)

    def catch_up(self) -> None:
        """Follow every watch to its end."""
        for kind in KINDS:
            self.hear(kind, len(self._api.events[kind]))

    def facts(self, job: ComputeJob) -> Facts:
        """See what a pass sees."""
        granted = admit(self.environment, [contender(job)])
        return Facts(
            job=job,
            children=self.store.children(job),
            now=self._api.now,
            environment=self.environment,
            granted=job.uid in granted,
        )

    async def reconcile(self) -> None:
        """Make one pass: see, decide, record, act."""
        self.wake, self.again = None, False
        await self._remove_strays()
        job = self.store.jobs.get(KEY)
        if job is None:
            return
        step = plan(self.facts(job))
        self.wake = step.wake
        if step.status != job.status and not await self._record(job, step):
            return
        for action in step.actions:
            again = await perform(self.hands, replace(job, status=step.status), action)
            self.again = self.again or again

    async def _remove_strays(self) -> None:
        strays = self.store.strays(KEY)
        body = await self.hands.cluster.read("ComputeJob", *KEY) if strays else None
        uid = body["metadata"]["uid"] if body else None
        for child in strays:
            if child.job_uid != uid and not child.deleting:
                kind: ChildKind = "Pod" if isinstance(child, Pod) else "PersistentVolumeClaim"
                await delete_child(self.hands, NAMESPACE, Delete(kind, child.name, child.uid))

    async def _record(self, job: ComputeJob, step: Step) -> bool:
        self.again = True
        status = st.as_dict(job, step.status)
        cluster = self.hands.cluster
        try:
            body = await cluster.write_status("ComputeJob", *KEY, job.resource_version, status)
        except (ConflictError, NotFoundError):
            fresh = await cluster.read("ComputeJob", *KEY)
            if fresh is None or fresh["metadata"]["uid"] != job.uid:
                self.store.remove("ComputeJob", *KEY, job.uid)
            if fresh is not None:
                self.store.put("ComputeJob", fresh)
            return False
        self.store.put("ComputeJob", body)
        return True
