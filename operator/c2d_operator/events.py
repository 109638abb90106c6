"""Events: what a person wants to read in `kubectl describe`, one for each change worth a line.

An event tells, it never decides: one that cannot be written is logged and forgotten.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from c2d_api.computejob import API_VERSION, ComputeJob, Status
from c2d_api.times import format_micro_time, format_time
from c2d_operator import status as st
from c2d_operator.cluster import Cluster, ClusterError
from c2d_operator.status import Reason

_LOGGER = logging.getLogger(__name__)
_WAITING_ROOM = 1000
_COMPONENT = "c2d-operator"
_QUIET = frozenset({Reason.WAITING, Reason.NOT_REACHED})
_EXPECTED = frozenset(
    {
        Reason.QUEUED,
        Reason.SUSPENDED,
        Reason.ALLOCATING,
        Reason.LOADING,
        Reason.STARTING,
        Reason.RUNNING,
        Reason.PUBLISHING,
        Reason.CLEANING_UP,
    }
)


@dataclass(frozen=True)
class Note:
    """One line about an object."""

    kind: str
    namespace: str
    name: str
    uid: str
    action: str
    reason: str
    message: str
    warning: bool


def notes(job: ComputeJob, before: Status, after: Status) -> list[Note]:
    """Tell what changed between two states of a job, in the order of the steps."""
    found = []
    for condition in after.conditions:
        former = before.condition(condition.type)
        told = (former.status, former.reason) if former else None
        if told == (condition.status, condition.reason) or condition.reason in _QUIET:
            continue
        if condition.type in (st.COMPLETE, st.FAILED) and condition.status != "True":
            continue
        expected = condition.status == "True" and condition.type != st.FAILED
        warning = not (expected or condition.reason in _EXPECTED)
        message = condition.message or _WORDS.get(condition.reason, condition.reason)
        found.append(
            Note(
                "ComputeJob",
                job.namespace,
                job.name,
                job.uid,
                condition.type,
                condition.reason,
                message,
                warning,
            )
        )
    return found


_WORDS = {
    str(Reason.ALLOCATING): "The workspace volume is being allocated",
    str(Reason.LOADING): "The assets are being loaded",
    str(Reason.STARTING): "The algorithm's pod may start",
    str(Reason.RUNNING): "The algorithm runs",
    str(Reason.PUBLISHING): "Results and logs are being published",
    str(Reason.CLEANING_UP): "Pods and volume are being removed",
}


class Recorder:
    """Writes notes as Kubernetes events, one after the other, behind the passes."""

    def __init__(self, cluster: Cluster, instance: str) -> None:
        """Take the name of this operator's pod."""
        self._cluster = cluster
        self._instance = instance
        self._notes: asyncio.Queue[tuple[Note, datetime]] = asyncio.Queue(_WAITING_ROOM)
        self._last = datetime.fromtimestamp(0, UTC)

    def record(self, note: Note) -> None:
        """Queue a note; when too many wait, this one is dropped."""
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        try:
            self._notes.put_nowait((note, self._last))
        except asyncio.QueueFull:
            _LOGGER.warning("too many events wait, one of %s is dropped", note.name)

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            note, moment = await self._notes.get()
            try:
                manifest = event(note, moment, self._instance)
                await self._cluster.create("Event", note.namespace, manifest)
            except ClusterError as error:
                _LOGGER.warning("an event of %s was not written: %s", note.name, error)


def event(note: Note, moment: datetime, instance: str) -> dict[str, Any]:
    """Describe the event of a note.

    It is a core/v1 event, since `kubectl describe` sorts by a time that the newer kind must not
    have; within a second it keeps the order of names, which grow with the moment.
    """
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{note.name}.{int(moment.timestamp() * 1_000_000):016x}",
            "namespace": note.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": note.kind,
            "namespace": note.namespace,
            "name": note.name,
            "uid": note.uid,
        },
        "eventTime": format_micro_time(moment),
        "firstTimestamp": format_time(moment),
        "lastTimestamp": format_time(moment),
        "count": 1,
        "reportingComponent": _COMPONENT,
        "reportingInstance": instance[:128],
        "source": {"component": _COMPONENT},
        "action": note.action,
        "reason": note.reason,
        "message": note.message[:1024],
        "type": "Warning" if note.warning else "Normal",
    }
