"""Passes: see, decide, act, report, for jobs and for environments.

Watch events, lists and answers feed the store and wake passes; a pass reads the store, never the
event that woke it. Workers take keys from one queue.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from c2d_api.computeenvironment import Environment
from c2d_api.computejob import ENVIRONMENT_LABEL, JOB_LABEL, ComputeJob, Status
from c2d_operator import admission, environments
from c2d_operator import status as st
from c2d_operator.actions import Hands, delete_child, delete_object, perform
from c2d_operator.children import ChildKind, Claim, Pod
from c2d_operator.cluster import (
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from c2d_operator.events import Note, Recorder, notes
from c2d_operator.metrics import Metrics
from c2d_operator.plan import plan
from c2d_operator.steps import Delete, Facts
from c2d_operator.store import Key, Store
from c2d_operator.workqueue import WorkQueue

_LOGGER = logging.getLogger(__name__)

Json = Mapping[str, Any]
Work = tuple[Literal["job", "environment"], str, str]

SELECTORS: Mapping[str, str] = {
    "ComputeEnvironment": "",
    "ServiceAccount": ENVIRONMENT_LABEL,
    "NetworkPolicy": ENVIRONMENT_LABEL,
    "PersistentVolumeClaim": JOB_LABEL,
    "Pod": JOB_LABEL,
    "ComputeJob": "",
}
"""The kinds that are watched, by the label that those of interest carry, in the order of lists."""

_LOAD_PAUSE = 1.0
_COUNTS_PAUSE = 5.0
_NOT_READY_PAUSE = 15.0
_READY_PAUSE = 300.0


def _now() -> datetime:
    return datetime.now(UTC)


class Ear:
    """Notices a watch that has gone silent: lists show objects that it never told of."""

    def __init__(self, grace: float) -> None:
        """Take how many seconds a watch may be behind a list."""
        self._grace = grace
        self._heard: dict[Key, int] = defaultdict(int)
        self._missing: dict[Key, tuple[int, float]] = {}

    def heard(self, place: Key, version: int) -> None:
        """Note a watch event of a kind in a namespace."""
        self._heard[place] = max(self._heard[place], version)
        if place in self._missing and self._missing[place][0] <= self._heard[place]:
            del self._missing[place]

    def expect(self, place: Key, version: int) -> None:
        """Note the newest version that a list showed; the watch has to tell of it soon."""
        if version > self._heard[place] and place not in self._missing:
            self._missing[place] = version, asyncio.get_running_loop().time()

    def deaf(self) -> str | None:
        """Name a kind whose watch has not caught up within its grace."""
        now = asyncio.get_running_loop().time()
        for (kind, namespace), (version, since) in self._missing.items():
            if now > since + self._grace:
                return f"the watch of {kind} in {namespace} never told of version {version}"
        return None


class Reconciler:
    """Holds the store and the queue, and gives each key its passes."""

    def __init__(
        self,
        hands: Hands,
        recorder: Recorder,
        metrics: Metrics,
        namespaces: tuple[str, ...],
        watch_grace: float,
        programs: environments.Programs | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Take what passes act with, the namespaces they serve, and how late a watch may be.

        `programs` are those that loaders reach.
        """
        self._hands = hands
        self._store: Store = hands.store
        self._cluster: Cluster = hands.cluster
        self._recorder = recorder
        self._metrics = metrics
        self._namespaces = namespaces
        self._programs = programs
        self._clock = clock
        self._queue: WorkQueue[Work] = WorkQueue()
        self._contenders: dict[Key, dict[str, admission.Contender]] = defaultdict(dict)
        self._granted: dict[Key, frozenset[str]] = {}
        self._stale: set[Key] = set()
        self._proofs: dict[Key, environments.Proof] = {}
        self._names: dict[str, Key] = {}
        self._ear = Ear(watch_grace)
        self.loaded = False

    # What is seen

    def observe(self, event: str | None, kind: str, body: Json) -> None:
        """Take in one watch event; `event` is None for an object of the first list."""
        meta = body["metadata"]
        self._ear.heard((kind, meta["namespace"]), int(meta["resourceVersion"]))
        if event == "DELETED":
            self._lost(kind, meta["namespace"], meta["name"], meta["uid"])
        else:
            self._seen(kind, body)

    def waiting(self) -> int:
        """Count the passes that wait for a worker."""
        return len(self._queue)

    def deaf(self) -> str | None:
        """Name a watch that does not tell what lists show."""
        return self._ear.deaf()

    async def load(self) -> None:
        """List everything once; passes start after that, so none acts on half a picture."""
        while not self.loaded:
            try:
                for namespace in self._namespaces:
                    for kind in SELECTORS:
                        await self._list(kind, namespace)
            except ClusterError as error:
                _LOGGER.warning("the first list failed: %s", error)
                await asyncio.sleep(_LOAD_PAUSE)
            else:
                self.loaded = True

    async def resync(self) -> None:
        """List everything again and take note of what vanished without an event."""
        for namespace in self._namespaces:
            for kind in SELECTORS:
                held = self._store.held(kind, namespace)
                listed, version = await self._list(kind, namespace)
                for uid, (name, seen) in held.items():
                    if uid not in listed and seen <= version:
                        self._lost(kind, namespace, name, uid)

    async def _list(self, kind: str, namespace: str) -> tuple[set[str], int]:
        listed, version, newest = set(), 0, 0
        async for page, at in self._cluster.pages(kind, namespace, SELECTORS[kind]):
            version = version or int(at)
            for body in page:
                listed.add(body["metadata"]["uid"])
                newest = max(newest, int(body["metadata"]["resourceVersion"]))
                self._seen(kind, body)
        self._ear.expect((kind, namespace), newest)
        return listed, version

    def _seen(self, kind: str, body: Json) -> None:
        before = self._environment_of(kind, body)
        try:
            key = self._store.put(kind, body)
        except (KeyError, TypeError, ValueError, AttributeError):
            meta = body["metadata"]
            _LOGGER.exception("%s %s makes no sense", kind, meta.get("name"))
            return
        if key is None:
            return
        if kind == "ComputeJob":
            self._follow(key)
        elif kind == "ComputeEnvironment":
            self._environment_changed(key, before)
        self._wake(kind, key)

    def _environment_of(self, kind: str, body: Json) -> Environment | None:
        if kind != "ComputeEnvironment":
            return None
        meta = body["metadata"]
        return self._store.environments.get((meta["namespace"], meta["name"]))

    def _lost(self, kind: str, namespace: str, name: str, uid: str) -> None:
        key = self._store.remove(kind, namespace, name, uid)
        if key is None:
            return
        if kind == "ComputeJob":
            self._forget(uid)
        elif kind == "ComputeEnvironment":
            self._environment_changed(key, None)
        self._wake(kind, key)

    def _wake(self, kind: str, key: Key) -> None:
        of_job = kind in ("ComputeJob", "Pod", "PersistentVolumeClaim")
        self._queue.add(("job" if of_job else "environment", *key))

    # Who has a place

    def _follow(self, key: Key) -> None:
        """Keep the list of those who hold or want a place in line with a job."""
        job = self._store.jobs[key]
        environment = (job.namespace, job.spec.environment)
        if self._names.get(job.uid) is None and st.is_finished(job.status):
            return
        known = self._contenders[environment].get(job.uid)
        now = admission.contender(job)
        if known == now:
            return
        if now.holding or now.waiting:
            self._contenders[environment][job.uid] = now
            self._names[job.uid] = key
        else:
            self._contenders[environment].pop(job.uid, None)
            self._names.pop(job.uid, None)
        self._places_changed(environment)

    def _forget(self, uid: str) -> None:
        self._names.pop(uid, None)
        for environment, jobs in self._contenders.items():
            if jobs.pop(uid, None):
                self._places_changed(environment)

    def _places_changed(self, environment: Key) -> None:
        self._stale.add(environment)
        self._queue.add_after(("environment", *environment), _COUNTS_PAUSE)
        if self.loaded:
            self._grant(environment)

    def _environment_changed(self, key: Key, before: Environment | None) -> None:
        now = self._store.environments.get(key)
        if before and now and _offer(before) == _offer(now):
            return
        self._stale.add(key)
        for uid, job in self._contenders[key].items():
            if job.waiting:
                self._queue.add(("job", *self._names[uid]))

    def _grant(self, key: Key) -> frozenset[str]:
        """Decide who gets a place, where something changed since the last time."""
        if key not in self._stale:
            return self._granted.get(key, frozenset())
        self._stale.discard(key)
        environment, jobs = self._store.environments.get(key), self._contenders[key]
        kept = frozenset(
            uid for uid in self._granted.get(key, ()) if uid in jobs and jobs[uid].waiting
        )
        new = admission.admit(environment, jobs.values(), kept) if environment else ()
        for uid in new:
            self._queue.add(("job", *self._names[uid]))
        self._granted[key] = kept | frozenset(new)
        return self._granted[key]

    # Passes

    async def run(self, workers: int, resync_seconds: float) -> None:
        """Work until cancelled; passes under way are ended between two of their steps."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())
            group.create_task(self._resync_forever(resync_seconds))

    async def _resync_forever(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.resync()
            except ClusterError as error:
                _LOGGER.warning("the periodic list failed: %s", error)

    async def _work(self) -> None:
        while True:
            work, since = await self._queue.take()
            try:
                await self._pass(work)
            finally:
                self._queue.done(work)
                self._metrics.passed(work[0], asyncio.get_running_loop().time() - since)

    async def _pass(self, work: Work) -> None:
        kind, *key = work
        namespace, name = key
        fields = {"namespace": namespace, kind: name}
        try:
            if kind == "job":
                await self._job_pass((namespace, name))
            else:
                await self._environment_pass((namespace, name))
        except ClusterError as error:
            pause = error.retry_after if isinstance(error, UnavailableError) else 0.0
            delay = self._queue.retry(work, pause)
            _LOGGER.warning(
                "%s %s/%s: again in %.1f s: %s", kind, namespace, name, delay, error, extra=fields
            )
        except Exception:
            delay = self._queue.retry(work)
            _LOGGER.exception(
                "%s %s/%s: a pass failed, again in %.1f s",
                kind,
                namespace,
                name,
                delay,
                extra=fields,
            )
        else:
            self._queue.forget(work)

    async def _job_pass(self, key: Key) -> None:
        if strays := self._store.strays(key):
            await self._remove_strays(key, strays)
        job = self._store.jobs.get(key)
        if job is None:
            return
        environment = (job.namespace, job.spec.environment)
        now = self._clock()
        step = plan(
            Facts(
                job=job,
                children=self._store.children(job),
                now=now,
                environment=self._store.environments.get(environment),
                granted=job.uid in self._grant(environment),
                provider_url=self._hands.images.provider_url,
                gateways=self._hands.images.gateways,
            )
        )
        if step.wake is not None:
            self._queue.add_after(("job", *key), (step.wake - now).total_seconds())
        if step.status != job.status and not await self._record(job, step.status):
            return
        job = replace(job, status=step.status)
        for action in step.actions:
            if await perform(self._hands, job, action):
                self._queue.add(("job", *key))

    async def _record(self, job: ComputeJob, status: Status) -> bool:
        """Write a status; say whether it was written, and let another pass read it back."""
        work: Work = ("job", *job.key)
        try:
            body = await self._cluster.write_status(
                "ComputeJob",
                job.namespace,
                job.name,
                job.resource_version,
                st.as_dict(job, status),
            )
        except ConflictError:
            await self._read_again(job)
            self._queue.add(work)
            return False
        except NotFoundError:
            self._lost("ComputeJob", job.namespace, job.name, job.uid)
            return False
        self._seen("ComputeJob", body)
        self._metrics.recorded(job, status)
        self._note_proof(job, status)
        for note in notes(job, job.status, status):
            self._recorder.record(note)
            _LOGGER.info(
                "%s %s: %s",
                note.action,
                note.reason,
                note.message,
                extra={"namespace": job.namespace, "job": job.name},
            )
        return True

    def _note_proof(self, job: ComputeJob, status: Status) -> None:
        """Remember what the end of an algorithm shows of its environment's network."""
        proof = environments.proof(job, status) if job.status.termination is None else None
        if proof is not None:
            self._proofs[job.namespace, job.spec.environment] = proof
            self._queue.add_after(
                ("environment", job.namespace, job.spec.environment), _COUNTS_PAUSE
            )

    async def _read_again(self, job: ComputeJob) -> None:
        body = await self._cluster.read("ComputeJob", job.namespace, job.name)
        if body is None or body["metadata"]["uid"] != job.uid:
            self._lost("ComputeJob", job.namespace, job.name, job.uid)
        if body is not None:
            self._seen("ComputeJob", body)

    async def _remove_strays(self, key: Key, strays: tuple[Pod | Claim, ...]) -> None:
        """Delete children whose job is gone, as a live read confirms.

        The garbage collector does the same unless somebody cut the owner reference.
        """
        body = await self._cluster.read("ComputeJob", *key)
        uid = body["metadata"]["uid"] if body else None
        for child in strays:
            if child.job_uid in ("", uid) or child.deleting:
                continue
            kind: ChildKind = "Pod" if isinstance(child, Pod) else "PersistentVolumeClaim"
            await delete_child(self._hands, child.namespace, Delete(kind, child.name, child.uid))

    async def _environment_pass(self, key: Key) -> None:
        environment = self._store.environments.get(key)
        if environment is None:
            await self._retire(key)
            return
        self._grant(key)
        wanted = environments.desired(environment, self._programs)
        for manifest in environments.unlike(wanted, self._store.standing[key]):
            body = await self._cluster.apply(manifest["kind"], key[0], manifest)
            self._store.put(manifest["kind"], body)
        verdict = environments.judge(
            environment, await self._storage_classes(), has_canary=self._hands.canary is not None
        )
        pause = _READY_PAUSE if verdict.ready else _NOT_READY_PAUSE
        self._queue.add_after(("environment", *key), pause)
        await self._report(environment, verdict)

    async def _report(self, environment: Environment, verdict: environments.Verdict) -> None:
        jobs = self._contenders[environment.key].values()
        status = environments.status(
            environment,
            verdict,
            in_use=[job.resources for job in jobs if job.holding and job.resources],
            queued=sum(job.waiting for job in jobs),
            proof=self._proofs.get(environment.key),
            now=self._clock(),
        )
        if all(environment.status.get(field) == value for field, value in status.items()):
            return
        namespace, name = environment.key
        try:
            body = await self._cluster.write_status(
                "ComputeEnvironment", namespace, name, environment.resource_version, status
            )
        except ConflictError:
            fresh = await self._cluster.read("ComputeEnvironment", namespace, name)
            if fresh is not None:
                self._seen("ComputeEnvironment", fresh)
            self._queue.add(("environment", namespace, name))
            return
        except NotFoundError:
            return
        self._seen("ComputeEnvironment", body)
        headline = environments.headline(environment, status)
        if headline:
            reason, message, warning = headline
            note = Note(
                "ComputeEnvironment",
                namespace,
                name,
                environment.uid,
                environments.READY,
                reason,
                message,
                warning,
            )
            self._recorder.record(note)

    async def _storage_classes(self) -> list[Json]:
        return [body async for page, _ in self._cluster.pages("StorageClass", "") for body in page]

    async def _retire(self, key: Key) -> None:
        """Remove the standing objects of an environment that is gone, after its last job."""
        if any(job.holding for job in self._contenders[key].values()):
            return
        if await self._cluster.read("ComputeEnvironment", *key) is not None:
            return
        for thing in list(self._store.standing[key].values()):
            place = (thing.kind, key[0], thing.name)
            if await delete_object(self._cluster, place, thing.uid) is None:
                self._store.remove(*place, thing.uid)


def _offer(environment: Environment) -> object:
    return environment.uid, environment.generation, environment.ready, environment.deleting
