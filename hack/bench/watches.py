"""Watches of a cluster, with the moment at which each event arrived here."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from results import Stack

Json = Mapping[str, Any]
PATHS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "ComputeJob": "/apis/computetodata.io/v1alpha1/namespaces/{}/computejobs",
}
_LIMIT = 180.0


@dataclass(frozen=True)
class Event:
    """One event of a watch; `at` is in seconds of this machine's clock."""

    at: float
    type: str
    kind: str
    name: str
    body: Json


@dataclass
class Watches:
    """All that was seen so far, of all kinds in the order of arrival."""

    events: list[Event] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, what: str, found: Callable[[Event], bool]) -> Event:
        """Wait for an event that was not looked for in vain so far; return the first such one."""
        deadline = time.monotonic() + _LIMIT
        seen = 0
        with self.arrived:
            while True:
                for event in self.events[seen:]:
                    if found(event):
                        return event
                seen = len(self.events)
                if not self.arrived.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{what}: not within {_LIMIT:.0f} s")

    def take(self, event: Event) -> None:
        """Add an event."""
        with self.arrived:
            self.events.append(event)
            self.arrived.notify_all()


@contextmanager
def watching(stack: Stack) -> Iterator[Watches]:
    """Watch pods, claims and jobs of the stack's namespace from now on."""
    watches = Watches()
    processes = []
    for kind, path in PATHS.items():
        place = path.format(stack.namespace)
        version = json.loads(stack.kubectl("get", f"--raw={place}?limit=1"))["metadata"]
        query = f"watch=1&allowWatchBookmarks=false&resourceVersion={version['resourceVersion']}"
        command = stack.command("get", f"--raw={place}?{query}")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        threading.Thread(target=_read, args=(process, kind, watches), daemon=True).start()
    try:
        yield watches
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _read(process: "subprocess.Popen[str]", kind: str, watches: Watches) -> None:
    for line in process.stdout or ():
        at = time.time()
        event = json.loads(line)
        body = event["object"]
        watches.take(Event(at, event["type"], kind, body["metadata"].get("name", ""), body))


def has_terminated(event: Event, pod: str) -> bool:
    """Say whether an event is the first to tell that a pod's container has ended."""
    statuses = event.body.get("status", {}).get("containerStatuses", ())
    return (event.kind, event.name) == ("Pod", pod) and any(
        "terminated" in one["state"] for one in statuses
    )


def is_gone(event: Event, kind: str, name: str) -> bool:
    """Say whether an event tells that an object is gone."""
    return (event.type, event.kind, event.name) == ("DELETED", kind, name)
