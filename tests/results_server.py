"""A provider in a process of its own, whose memory is its own: it serves one job's results.

`python results_server.py` reads one line of JSON: the store, its credentials, the manifest's digest
and the job's name; it prints its port, and serves until its input ends.
"""

import asyncio
import json
import sys
import time
from typing import Any

from c2d_api.computejob import parse_job
from c2d_provider.results import StoredResults
from c2d_provider.serving import Patience, listening
from provider_fakes import NOW, World, served
from store_facts import job_body


class Secrets:
    """A cluster of which nothing is asked but a Secret."""

    def __init__(self, content: dict[str, str]) -> None:
        self.content = {name: value.encode() for name, value in content.items()}

    async def secret(self, namespace: str, name: str) -> dict[str, bytes]:
        return self.content


async def main() -> None:
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    world = World()
    body = job_body(asked["name"], asked["endpoint"], asked["digest"])
    job = parse_job(served(body, NOW, body["status"]))
    world.cluster.jobs_[job.name] = job
    store: Any = Secrets(asked["credentials"])
    world.results = StoredResults(store, "c2d-system", None, time.time)  # type: ignore[assignment]  # both keep the port
    async with listening(world.app(), "127.0.0.1", 0, Patience()) as port:
        print(port, flush=True)  # noqa: T201 - the test reads it
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
