"""Results over the provider's Service: large ones in small memory, to those who may have them."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from end_to_end.cluster import API_VERSION, RUN_LABEL, Json, Run
from end_to_end.market import Market, opened
from results import open_store

BLOCK = 16 * 2**20
BLOCKS = 128
SIZE = BLOCK * BLOCKS
PIECE = 2**20
BROKEN_OFF = 5 * BLOCK * BLOCKS // 13  # amid a block, and amid a piece
MEMORY = 64 * 2**20
WRITE = f"""
n=0
while [ $n -lt {BLOCKS} ]; do
  printf '%016d' $n; head -c {BLOCK - 16} /dev/zero; n=$((n + 1))
done > "$OUTPUTS/large.bin"
: > "$OUTPUTS/empty.txt"
mkdir "$OUTPUTS/deep"; echo small > "$OUTPUTS/deep/small.txt"
"""


@pytest.fixture(scope="module")
def job(run: Run, market: Market) -> Iterator[str]:
    """Run a job with 2 GiB of results, of which each block tells its place.

    It is applied by hand, since provider v2 has no word for viewers; and its publisher is lost
    while it uploads, so that the results are those of a second one.
    """
    quantities = {"cpu": "1", "memory": "256Mi", "disk": "4Gi"}
    resources = {"default": quantities, "max": quantities}
    run.create_environment("large", resources=resources)
    spec = {
        "environment": run.named("large"),
        "consumer": market.consumer.address,
        "additionalViewers": [market.publisher.address],
    }
    name = uuid.uuid4().hex
    body = {
        "apiVersion": API_VERSION,
        "kind": "ComputeJob",
        "metadata": {"name": name, "labels": {RUN_LABEL: run.mark}},
        "spec": run.job("sh $ALGO", code=WRITE, spec=spec),
    }
    run.kubectl("create", "--filename=-", text=json.dumps(body))
    try:
        lose_publisher(run, f"pod/{name}-publisher-0")
        run.kubectl("wait", "--for=condition=Complete", f"cjob/{name}", "--timeout=180s")
        yield name
    finally:
        remove_results(run, run.read("cjob", name))
        run.kubectl("delete", "cjob", name, "--timeout=60s")


def lose_publisher(run: Run, pod: str) -> None:
    """Delete the publisher while it runs, and see that there is another one."""
    run.kubectl("wait", "--for=create", pod, "--timeout=120s")
    run.kubectl("wait", "--for=jsonpath={.status.phase}=Running", pod, "--timeout=60s")
    first = run.read(pod)["metadata"]["uid"]
    run.kubectl("delete", pod, "--force", "--grace-period=0")
    run.kubectl("wait", "--for=create", pod, "--timeout=60s")
    assert run.read(pod)["metadata"]["uid"] != first


def remove_results(run: Run, job: Json) -> None:
    """Delete from the store what a job has published, if it has."""
    if "results" in job["status"]:
        store = open_store(job["status"]["environment"]["results"], run.stack.values)
        listed = obstore.list(store, prefix=job["metadata"]["uid"]).collect()
        obstore.delete(store, [one["path"] for one in listed])


@pytest.fixture(scope="module")
def files(market: Market, job: str) -> dict[str, int]:
    """Tell the index of each file."""
    return {one["filename"]: one["index"] for one in market.job(job)["results"]}


def processes(run: Run) -> list[Path]:
    """Find the provider's processes on this machine, which is the node."""
    selector = "--selector=app.kubernetes.io/name=c2d-provider"
    pods = run.read("pods", "--namespace=c2d-system", selector)["items"]
    uids = [pod["metadata"]["uid"] for pod in pods]
    found = [
        folder
        for folder in map(Path, ("/proc/" + name for name in os.listdir("/proc") if name.isdigit()))
        if is_one(folder, uids)
    ]
    assert len(found) == len(uids) > 1
    return found


def is_one(folder: Path, uids: list[str]) -> bool:
    """Say whether a process is the provider's, in a pod of these; others may end meanwhile."""
    try:
        command = (folder / "cmdline").read_bytes().split(b"\0")
        groups = (folder / "cgroup").read_text()
    except OSError:
        return False
    return b"c2d_provider" in command and any(uid in groups for uid in uids)


def memory(process: Path, what: str) -> int:
    """Read a number of bytes from the kernel's description of a process."""
    (line,) = (
        line for line in (process / "status").read_text().splitlines() if line.startswith(what)
    )
    return int(line.split()[1]) * 1024


def expected_digest() -> str:
    digest, zeros = hashlib.sha256(), bytes(BLOCK - 16)
    for number in range(BLOCKS):
        digest.update(b"%016d" % number)
        digest.update(zeros)
    return digest.hexdigest()


def test_two_gibibytes_are_fetched_in_two_parts_and_little_memory(
    run: Run, market: Market, job: str, files: dict[str, int]
) -> None:
    url = market.result_url(job, files["large.bin"])
    providers = processes(run)
    before = {one: memory(one, "VmRSS") for one in providers}
    for one in providers:
        (one / "clear_refs").write_text("5")  # forgets the peak
    digest, length = hashlib.sha256(), 0
    with opened(url, {}) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(SIZE))
        etag = answer.headers["ETag"]
        while length < BROKEN_OFF:
            piece = answer.read(min(PIECE, BROKEN_OFF - length))
            digest.update(piece)
            length += len(piece)
    rest = {"Range": f"bytes={length}-", "If-Range": etag}
    with opened(url, rest) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {BROKEN_OFF}-{SIZE - 1}/{SIZE}"
        while piece := answer.read(PIECE):
            digest.update(piece)
            length += len(piece)
    assert length == SIZE
    assert digest.hexdigest() == expected_digest()
    grown = {one.name: memory(one, "VmHWM") - before[one] for one in providers}
    assert max(grown.values()) < MEMORY, grown


def test_what_the_second_publisher_brought_is_all_there(market: Market, job: str) -> None:
    sizes = {one["filename"]: one["filesize"] for one in market.job(job)["results"]}
    assert sizes == {"large.bin": SIZE, "empty.txt": 0, "deep/small.txt": 6, "algorithm.log": 0}


def test_an_index_is_that_of_one_file_whoever_answers(
    market: Market, job: str, files: dict[str, int]
) -> None:
    for _ in range(4):  # either replica
        assert {one["filename"]: one["index"] for one in market.job(job)["results"]} == files
        for name, text in (("deep/small.txt", b"small\n"), ("empty.txt", b"")):
            answer = market.result(job, files[name])
            assert (answer.status, answer.body) == (200, text)
            assert answer.headers["ETag"] == f'"{hashlib.sha256(text).hexdigest()}"'
            assert Path(name).name in answer.headers["Content-Disposition"]


def test_a_viewer_may_fetch_results_and_a_stranger_may_not(
    market: Market, job: str, files: dict[str, int]
) -> None:
    index = files["deep/small.txt"]
    seen = market.result(job, index, market.publisher)
    assert (seen.status, seen.body) == (200, b"small\n")
    refused = market.result(job, index, market.stranger)
    assert (refused.status, refused.json) == (404, {"error": "there is no such job"})


def test_an_index_beyond_the_last_is_not_found(
    market: Market, job: str, files: dict[str, int]
) -> None:
    assert market.result(job, len(files)).status == 404
