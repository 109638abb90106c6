"""The store: the newest that is known of every job, environment and child.

Fed by watch events, by lists and by the answers to our own writes; what is older than what is
held changes nothing. Never the truth, only the last that was seen of it: decisions that must not
be wrong ask the API server again (`LookUp`, `Release`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from c2d_api.computeenvironment import Environment, parse_environment
from c2d_api.computejob import ComputeJob, parse_job
from c2d_operator import status as st
from c2d_operator.children import (
    Children,
    Claim,
    Findings,
    Heard,
    Named,
    Offer,
    Pod,
    Refusal,
    Told,
    parse_claim,
    parse_pod,
    with_warning,
)
from c2d_operator.environments import Standing, parse_standing

Key = tuple[str, str]
Json = Mapping[str, Any]
_REMEMBERED = 4096


class Store:
    """Jobs, environments, children and standing objects of the watched namespaces."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.jobs: dict[Key, ComputeJob] = {}
        self.environments: dict[Key, Environment] = {}
        self.standing: dict[Key, dict[tuple[str, str], Standing]] = defaultdict(dict)
        self._children: dict[Key, dict[str, Pod | Claim]] = defaultdict(dict)
        self._places: dict[str, Key] = {}
        self._findings: dict[str, Findings] = {}
        self._gone: dict[str, None] = {}

    def put(self, kind: str, body: Json) -> Key | None:
        """Take in an object that is there; return the key of what it concerns, if it is news."""
        if body["metadata"]["uid"] in self._gone or self._is_known(kind, body["metadata"]):
            return None
        match kind:
            case "ComputeJob":
                return self._put_job(parse_job(body))
            case "ComputeEnvironment":
                return self._put_environment(parse_environment(body))
            case "Pod":
                return self._put_child(parse_pod(body))
            case "PersistentVolumeClaim":
                return self._put_child(parse_claim(body))
            case _:
                return self._put_standing(parse_standing(kind, body))

    def remove(self, kind: str, namespace: str, name: str, uid: str) -> Key | None:
        """Take note that the object with this uid is gone; return the key of what it concerned."""
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        match kind:
            case "ComputeJob":
                return self._remove_job((namespace, name), uid)
            case "ComputeEnvironment":
                key = (namespace, name)
                known = self.environments.get(key)
                if known is not None and known.uid == uid:
                    del self.environments[key]
                return key
            case "Pod" | "PersistentVolumeClaim":
                return self._remove_child(name, uid)
            case _:
                return self._remove_standing((kind, name), uid)

    def children(self, job: ComputeJob) -> Children:
        """Gather what is known of a job's own children."""
        findings = self._findings.get(job.uid, Findings())
        own = [
            with_warning(child, findings.heard.get(child.uid))
            for child in self._children.get(job.key, {}).values()
            if child.job_uid == job.uid
        ]
        return Children(
            claim=next((child for child in own if isinstance(child, Claim)), None),
            pods=tuple(
                sorted(
                    (child for child in own if isinstance(child, Pod)),
                    key=lambda pod: (pod.phase, pod.attempt),
                )
            ),
            findings=findings,
        )

    def strays(self, key: Key) -> tuple[Pod | Claim, ...]:
        """List the children under a job's name that are not those of the job known there."""
        job = self.jobs.get(key)
        return tuple(
            child
            for child in self._children.get(key, {}).values()
            if job is None or child.job_uid != job.uid
        )

    def refuse(self, job: ComputeJob, name: str, refusal: Refusal) -> None:
        """Note that a child could not be created."""
        known = self._findings.get(job.uid, Findings())
        refused = MappingProxyType({**known.refused, name: refusal})
        self._findings[job.uid] = replace(known, refused=refused)

    def conflict(self, job: ComputeJob, name: str) -> None:
        """Note that an object that is not ours has the name of a child."""
        known = self._findings.get(job.uid, Findings())
        self._findings[job.uid] = replace(known, foreign=known.foreign | {name})

    def absent(self, job: ComputeJob, uid: str) -> None:
        """Note that a child of this uid is not there any more; an ended job need not know."""
        if st.is_finished(job.status):
            return
        known = self._findings.get(job.uid, Findings())
        self._findings[job.uid] = replace(known, absent=known.absent | {uid})

    def hear(self, job: ComputeJob, uid: str, heard: Heard) -> None:
        """Note what the events about a child told."""
        known = self._findings.get(job.uid, Findings())
        told = MappingProxyType({**known.heard, uid: heard})
        self._findings[job.uid] = replace(known, heard=told)

    def tell(self, job: ComputeJob, uid: str, told: Told) -> None:
        """Note how far a pod said that it has come; what was said before is of no use."""
        known = self._findings.get(job.uid, Findings())
        self._findings[job.uid] = replace(known, told=MappingProxyType({uid: told}))

    def offer(self, job: ComputeJob, named: Named, offer: Offer) -> bool:
        """Note whether what a job names is offered; say whether that is news."""
        known = self._findings.get(job.uid, Findings())
        before = known.offers.get(named)
        offers = MappingProxyType({**known.offers, named: offer})
        self._findings[job.uid] = replace(known, offers=offers)
        return before is None or before.hindrance != offer.hindrance

    def held(self, kind: str, namespace: str) -> dict[str, tuple[str, int]]:
        """Map the uid of every object of a kind in a namespace to its name and version."""
        return {
            thing.uid: (thing.name, int(thing.resource_version))
            for thing in self._of_kind(kind)
            if thing.namespace == namespace
        }

    def _of_kind(self, kind: str) -> Iterable[ComputeJob | Environment | Pod | Claim | Standing]:
        match kind:
            case "ComputeJob":
                return list(self.jobs.values())
            case "ComputeEnvironment":
                return list(self.environments.values())
            case "Pod" | "PersistentVolumeClaim":
                type_ = Pod if kind == "Pod" else Claim
                everything = (c for named in self._children.values() for c in named.values())
                return [child for child in everything if isinstance(child, type_)]
            case _:
                objects = (o for named in self.standing.values() for o in named.values())
                return [thing for thing in objects if thing.kind == kind]

    def _is_known(self, kind: str, meta: Json) -> bool:
        """Say that a job is not newer than what is held, before it is parsed: lists have many."""
        known = self.jobs.get((meta["namespace"], meta["name"])) if kind == "ComputeJob" else None
        return known is not None and int(known.resource_version) >= int(meta["resourceVersion"])

    def _put_job(self, job: ComputeJob) -> Key | None:
        known = self.jobs.get(job.key)
        if known is not None and int(known.resource_version) >= int(job.resource_version):
            return None
        if known is not None and known.uid != job.uid:
            self._findings.pop(known.uid, None)
        if st.is_finished(job.status):
            job = st.remembered(job)
            self._findings.pop(job.uid, None)
        self.jobs[job.key] = job
        return job.key

    def _put_environment(self, environment: Environment) -> Key | None:
        known = self.environments.get(environment.key)
        version = int(environment.resource_version)
        if known is not None and int(known.resource_version) >= version:
            return None
        self.environments[environment.key] = environment
        return environment.key

    def _put_child(self, child: Pod | Claim) -> Key | None:
        key = (child.namespace, child.job)
        known = self._children[key].get(child.name)
        if known is not None and known.resource_version >= child.resource_version:
            return None
        self._children[key][child.name] = child
        self._places[child.uid] = key
        self._unrefuse(key, child.name)
        return key

    def _put_standing(self, thing: Standing) -> Key | None:
        key = (thing.namespace, thing.environment)
        known = self.standing[key].get((thing.kind, thing.name))
        if known is not None and int(known.resource_version) >= int(thing.resource_version):
            return None
        self.standing[key][thing.kind, thing.name] = thing
        self._places[thing.uid] = key
        return key

    def _remove_job(self, key: Key, uid: str) -> Key:
        known = self.jobs.get(key)
        if known is not None and known.uid == uid:
            del self.jobs[key]
        self._findings.pop(uid, None)
        return key

    def _remove_child(self, name: str, uid: str) -> Key | None:
        key = self._places.pop(uid, None)
        child = self._children.get(key, {}).get(name) if key else None
        if key is None or child is None or child.uid != uid:
            return None
        del self._children[key][name]
        if not self._children[key]:
            del self._children[key]
        self._unrefuse(key, name)
        job = self.jobs.get(key)
        if job is not None and child.job_uid == job.uid:
            self.absent(job, uid)
        return key

    def _remove_standing(self, place: tuple[str, str], uid: str) -> Key | None:
        key = self._places.pop(uid, None)
        thing = self.standing.get(key, {}).get(place) if key else None
        if key is None or thing is None or thing.uid != uid:
            return None
        del self.standing[key][place]
        return key

    def _unrefuse(self, key: Key, name: str) -> None:
        job = self.jobs.get(key)
        known = self._findings.get(job.uid) if job else None
        if job is None or known is None:
            return
        refused = {other: why for other, why in known.refused.items() if other != name}
        self._findings[job.uid] = replace(
            known, refused=MappingProxyType(refused), foreign=known.foreign - {name}
        )
