"""Whole flows of unmodified clients, replayed: each request is answered as its client needs it.

What the clients accepted was recorded from a stub, so it is compared by its shape. Names of jobs
are computed here and were made up there: the job that was started gets the recorded name as well.
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

import recordings
from c2d_api.computejob import parse_job
from c2d_provider.context import Policy
from c2d_provider.ports import Published
from provider_fakes import World, served

NOW = 1_795_348_000
"""A moment before the flows were recorded, so that what they ask for is not over."""

UNFIT = {
    "did", "expireTimestamp", "environment", "isFree", "maxJobDuration",  # the node's, not v2's
    "results",  # "" in provider v2 as long as there are none
}  # fmt: skip
CONTENTS = [("algorithm.log", b"hello"), ("outputs.tar", b"TARDATA")]
FINISHED = {
    "completionTime": "2026-11-22T12:00:00Z",
    "ocean": {"status": 70, "statusText": "Job finished"},
    "results": {
        "count": 2,
        "totalBytes": 12,
        "manifestDigest": "sha256:" + "00" * 32,
        "files": [
            {"name": "algorithm.log", "size": 5, "type": "algorithmLog"},
            {"name": "outputs.tar", "size": 7, "type": "output"},
        ],
    },
}


def body_of(entry: recordings.Json) -> bytes:
    """Write a body as the client did: compact JSON, or bytes of which only the number is known."""
    body = entry.get("body")
    if isinstance(body, str):
        return bytes(int(body.strip("<>").split()[0]))
    return json.dumps(body, separators=(",", ":")).encode() if body else b""


class Flow:
    """A world that does between two requests what chain and operator did while recording."""

    def __init__(self, entries: list[recordings.Json], **policy: Any) -> None:
        self.entries = entries
        self.world = World(now=NOW, policy=Policy(default_namespace="jobs", **policy))
        self.assets: dict[str, Published] = {}

    def before(self, entry: recordings.Json) -> None:
        answer = entry.get("answer")
        if "/assets/ddo/did" in entry["path"] and entry["status"] == 200:
            self.assets[answer["id"]] = self.world.publish(answer)
        if entry["method"] == "POST" and entry["path"].endswith("/compute"):
            body = entry["body"]
            for named in (body["dataset"], body["algorithm"]):
                asset = self.assets[named["documentId"]]
                self.world.order(named["transferTxId"], asset, named["serviceId"])

    def after(self, entry: recordings.Json) -> None:
        if entry["method"] == "POST" and entry["path"].endswith("/compute"):
            (manifest,) = self.world.cluster.manifests
            job = parse_job(served(manifest, NOW, FINISHED))
            name = entry["answer"][0]["jobId"]
            self.world.cluster.jobs_[name] = replace(job, name=name)
            self.world.results.contents[job.uid] = CONTENTS


def lacking(expected: Any, found: Any, where: str = "") -> list[str]:
    """List where an answer has not what the client accepted, or not of that type."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [where]
        keys = [key for key in expected if key not in UNFIT]
        return [
            line
            for key in keys
            for line in lacking(expected[key], found.get(key), f"{where}.{key}")
        ]
    if isinstance(expected, list):
        if not isinstance(found, list) or (expected and not found):
            return [where]
        return lacking(expected[0], found[0], f"{where}[]") if expected else []
    numbers = (int, float)
    if isinstance(expected, numbers) and not isinstance(expected, bool):
        return [] if isinstance(found, numbers) and not isinstance(found, bool) else [where]
    is_open = where.endswith(".dateFinished")
    return [] if isinstance(found, type(expected)) or is_open else [where]


FLOWS = {
    # ocean.js lets an empty list of algorithms allow everything, as provider v2 did
    "oceanjs-3.4.6": {"legacy_trust": True},
    "oceanpy-3.1.2": {},
}


@pytest.mark.parametrize("client_name", FLOWS)
async def test_a_whole_flow_is_answered(client_name: str) -> None:
    flow = Flow(recordings.v2_flow(client_name), **FLOWS[client_name])
    assert len(flow.entries) in (31, 89)
    async with TestClient(TestServer(flow.world.app())) as client:
        for number, entry in enumerate(flow.entries):
            flow.before(entry)
            headers = {"Content-Type": entry["content_type"]} if "content_type" in entry else {}
            async with client.request(
                entry["method"],
                entry["path"],
                params=entry.get("query", {}),
                data=body_of(entry),
                headers=headers,
            ) as response:
                what = f"{number}: {entry['method']} {entry['path']}"
                text = await response.text()
                assert (what, response.status, text) == (what, entry["status"], text)
                if response.content_type == "application/json":
                    judge(what, entry, json.loads(text))
                elif "/computeResult" in entry["path"]:
                    assert text == entry["answer"]
            flow.after(entry)
    assert flow.world.cluster.stops == []  # the job was over when its stop was asked for


def judge(what: str, entry: recordings.Json, found: Any) -> None:
    """Compare what matters of an answer with what the client accepted."""
    expected = entry.get("answer", {})
    if entry["path"].endswith("/nonce"):
        assert found["nonce"].isdecimal(), what
        return
    if entry["path"].endswith("/fileinfo") and not entry["body"].get("checksum"):
        expected = [{k: v for k, v in one.items() if k != "checksum"} for one in expected]
    assert lacking(expected, found) == [], what
    if entry["path"].endswith("/ddo/validate"):
        assert found["hash"] == expected["hash"], what
    if entry["path"] in ("/", "/v2"):
        assert found["providerAddresses"]["8996"].startswith("0x"), what


async def test_an_empty_list_of_trusted_algorithms_denies_by_default() -> None:
    flow = Flow(recordings.v2_flow("oceanjs-3.4.6"))
    async with TestClient(TestServer(flow.world.app())) as client:
        for entry in flow.entries:
            flow.before(entry)
            if entry["method"] != "POST" or not entry["path"].endswith("/compute"):
                continue
            async with client.post(entry["path"], json=entry["body"]) as response:
                assert response.status == 400
                assert await response.json() == {
                    "error": {"dataset": "no_publisherTrustedAlgorithms"}
                }
            break
