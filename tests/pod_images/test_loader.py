"""The whole loader as a process: the workspace it leaves, what it says, how it ends."""

import asyncio
import hashlib
import json
import os
import re
import signal
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from c2d_api.asset_request import AssetRequest, FileContent, Provided, ProvidedAsset
from c2d_api.computeenvironment import Address
from c2d_api.computejob import Claimed, Dataset, File
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask, decode_loader_task
from pods import Pod, Site, memory_peak


def task(
    *datasets: Dataset, allowed: tuple[Address, ...] = (), algorithm: tuple[File, ...] = ()
) -> str:
    return LoaderTask(
        job="job-1",
        datasets=datasets,
        algorithm_id="did:op:algo" if algorithm else "",
        algorithm_files=algorithm,
        raw_code=None if algorithm else "print('hello')",
        algorithm_ddo=None,
        custom_data=None,
        egress=allowed,
    ).encode()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "adminlogs" not in path.parts
    }


async def test_it_leaves_a_whole_workspace(loader: Pod, site: Site) -> None:
    dataset = Dataset(
        "did:op:aa", "", (File(url=site.serve("/f", b"body")), File(inline="é")), "{}"
    )
    ended = await loader.run(task(dataset, allowed=(site.address,)))
    assert (ended.code, ended.report["count"]) == (PodExit.DONE, 4)
    files = tree(loader.data)
    script = files.pop("launcher/launch.sh")
    assert b"algorithm.log" in script
    assert b"nc -w 1" in files.pop("launcher/connect.sh")
    assert files == {
        "inputs/aa/0": b"body",
        "inputs/aa/1": "é".encode(),
        "ddos/aa": b"{}",
        "transformations/algorithm": b"print('hello')",
        "launcher/busybox": b"\x7fELF static shell",
        "launcher/closed": b"",
    }
    assert (loader.data / "outputs").is_dir()
    assert (loader.data / "logs").is_dir()
    assert (
        "dataset did:op:aa file 0: 4 bytes" in (loader.data / "adminlogs/loading.log").read_text()
    )


async def test_modes_hold_whatever_the_umask(loader: Pod) -> None:
    before = os.umask(0o077)
    try:
        await loader.run(task(Dataset("a", "", (File(inline="x"),))))
    finally:
        os.umask(before)

    def mode(path: str) -> int:
        return stat.S_IMODE((loader.data / path).stat().st_mode)

    assert mode("inputs/a/0") == 0o444
    assert mode("transformations/algorithm") == 0o555
    assert mode("launcher/busybox") == 0o555
    assert [mode(folder) for folder in ("outputs", "logs")] == [0o777, 0o777]
    assert [mode(folder) for folder in ("inputs", "inputs/a", "adminlogs")] == [0o755] * 3


async def test_an_attempt_after_a_crash_starts_over(loader: Pod) -> None:
    for path in ("inputs/a/0", "inputs/a/7", "inputs/old/0.part", "launcher/busybox", "ddos/old"):
        (loader.data / path).parent.mkdir(parents=True, exist_ok=True)
        (loader.data / path).write_bytes(b"left by the first attempt")
    (loader.data / "transformations/algorithm").mkdir(parents=True)
    ended = await loader.run(task(Dataset("a", "", (File(inline="x"),))))
    assert ended.code == PodExit.DONE
    assert set(tree(loader.data)) == {
        "inputs/a/0",
        "transformations/algorithm",
        "launcher/busybox",
        "launcher/launch.sh",
        "launcher/connect.sh",
        "launcher/closed",
    }
    assert (loader.data / "inputs/a/0").read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["dataset", "algorithm"])
async def test_a_missing_file_fails_with_words_for_people(
    loader: Pod, site: Site, kind: str
) -> None:
    file = File(url=site.url("/secret-path?token=secret-token"), headers=(("X", "secret-key"),))
    if kind == "dataset":
        wanted = task(Dataset("did:op:aa", "", (file,)), allowed=(site.address,))
        code, message = PodExit.DATASET_FAILED, "dataset did:op:aa file 0: the server answered 404"
    else:
        wanted = task(allowed=(site.address,), algorithm=(file,))
        code, message = PodExit.ALGORITHM_FAILED, "algorithm file 0: the server answered 404"
    ended = await loader.run(wanted)
    assert ended.code == code
    assert ended.report["message"] == message
    log = (loader.data / "adminlogs/loading.log").read_text()
    assert message in log
    assert "secret" not in ended.said + log
    assert str(site.port) not in ended.said + log
    missing = "inputs/aa/0" if kind == "dataset" else "transformations/algorithm"
    assert missing not in tree(loader.data)


async def test_a_file_that_may_come_later_asks_for_another_attempt(loader: Pod, site: Site) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=503)

    site.answers["/f"] = busy
    wanted = task(Dataset("a", "", (File(url=site.url("/f")),)), allowed=(site.address,))
    ended = await loader.run(wanted, "--attempts", "2")
    assert ended.code == PodExit.TRY_AGAIN
    assert ended.report["message"] == "dataset a file 0: the server answered 503"
    assert len(site.requests) == 2


@pytest.mark.parametrize(
    "file", [File(inline="xx", max_bytes=1), File(inline="x", sha256="0" * 64)]
)
async def test_inline_files_keep_the_same_rules(loader: Pod, file: File) -> None:
    ended = await loader.run(task(Dataset("a", "", (file,))))
    assert ended.code == PodExit.DATASET_FAILED


async def test_a_volume_that_cannot_be_written_is_said_so(loader: Pod) -> None:
    loader.data.rmdir()
    loader.data.write_text("no folder")
    ended = await loader.run(task())
    assert ended.code == PodExit.TRY_AGAIN
    assert "volume cannot be prepared" in str(ended.report["message"])


async def test_what_nobody_foresaw_is_told_by_type_and_place_only(loader: Pod) -> None:
    ended = await loader.run('{"job": "secret", "nothing": "secret"}')
    assert ended.code not in {int(code) for code in PodExit}
    assert re.fullmatch(r"Unexpected KeyError in tasks\.py:\d+", str(ended.report["message"]))
    assert "secret" not in ended.said


@pytest.mark.parametrize("files", [1, 4])
async def test_large_files_take_little_memory_and_show_progress(
    loader: Pod, site: Site, files: int
) -> None:
    piece, pieces = bytes(range(256)) * 4096, 300 // files

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(piece) * pieces
        await response.prepare(request)
        for _ in range(pieces):
            await response.write(piece)
        return response

    site.answers["/f"] = large
    file = File(url=site.url("/f"), sha256=hashlib.sha256(piece * pieces).hexdigest())
    wanted = task(Dataset("a", "", (file,) * files), allowed=(site.address,))
    process = await loader.start(wanted)
    peak = await memory_peak(process)
    assert process.stdout
    lines = [json.loads(line) for line in (await process.stdout.read()).splitlines()]
    assert process.returncode == PodExit.DONE
    assert lines[-1]["progress"] == {
        "files": files + 1,
        "of": files + 1,
        "bytes": (length := len(piece) * pieces * files + len("print('hello')")),
        "ofBytes": length,
    }
    assert {line["progress"]["ofBytes"] for line in lines} <= {None, length}
    assert peak < 64 * 2**20


async def test_what_needs_no_network_does_not_load_it(loader: Pod) -> None:
    await loader.run(task(Dataset("a", "", (File(inline="x"),))))
    again = (
        "import sys, c2d_pods.loader as loader\n"
        "assert loader.main(sys.argv[1:]) == 0\n"
        "print(*sys.modules)"
    )
    options = ("--data", loader.data, "--task", loader.folder / "task.json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", again, *options, "--report", loader.report, *loader.arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert "c2d_pods.loader" in output.decode().split()
    assert not {"aiohttp", "asyncio", "ssl", "yarl"}.intersection(output.decode().split())


DID = "did:op:" + "a" * 64


async def test_services_of_one_dataset_number_their_files_on_whatever_their_sources(
    loader: Pod, site: Site
) -> None:
    url = {"url": {"url": site.serve("/f", b"2"), "headers": [{"name": "X", "value": "s3cr3t"}]}}
    describe(loader, [{"inline": {"text": "1"}}, url])
    wanted = task(
        Dataset(DID, "one", (File(inline="0"),), "{}"),
        Dataset("lying", "", (), "{}", claim=Claimed("trees")),
        Dataset(DID, "two", (), secret="keys"),  # noqa: S106 - a name
        Dataset(DID, "three", (File(url=site.url("/f")), File(inline="4"))),
        allowed=(site.address,),
    )
    ended = await loader.run(wanted, "--sources", loader.folder / "sources")
    assert ended.code == PodExit.DONE
    inputs = tree(loader.data / "inputs")
    assert inputs == {f"{'a' * 64}/{n}": str(n).encode() for n in (0, 1, 2, 4)} | {
        f"{'a' * 64}/3": b"2"
    }
    assert (loader.data / "inputs/lying").is_dir()
    assert (loader.data / "ddos/lying").read_bytes() == b"{}"
    assert sorted(headers.get("X", "") for _, _, headers in site.requests) == ["", "s3cr3t"]
    log = (loader.data / "adminlogs/loading.log").read_text()
    assert "s3cr3t" not in ended.said + log


def describe(loader: Pod, *contents: object) -> None:
    """Lay Secrets where a pod has them mounted."""
    for number, content in enumerate(contents):
        folder = loader.folder / "sources" / str(number)
        folder.mkdir(parents=True)
        (folder / "files.json").write_text(json.dumps(content))


async def test_the_code_may_come_from_a_secret(loader: Pod) -> None:
    code = "#" * 60_000
    describe(loader, [{"inline": {"text": code}}])
    wanted = replace(decode_loader_task(task()), raw_code=None, algorithm_secret="code")  # noqa: S106 - a name
    ended = await loader.run(wanted.encode(), "--sources", loader.folder / "sources")
    assert ended.code == PodExit.DONE
    assert (loader.data / "transformations/algorithm").read_text() == code


async def test_what_a_secret_holds_is_shown_to_nobody(loader: Pod, site: Site) -> None:
    secret = {"url": site.url("/s3cr3t-path?token=s3cr3t")}
    describe(loader, [{"url": secret}, {"url": {**secret, "method": "s3cr3t"}}])
    wanted = task(Dataset("a", "", (), secret="keys"))  # noqa: S106 - a name
    refused = await loader.run(wanted, "--sources", loader.folder / "sources")
    assert refused.code == PodExit.DATASET_FAILED
    assert refused.report["message"] == (
        "dataset a: the Secret keys: in files.json, file 1: method is not one of GET and POST"
    )
    (loader.folder / "sources/0/files.json").write_text(json.dumps([{"url": secret}]))
    failed = await loader.run(wanted, "--sources", loader.folder / "sources")
    assert failed.code == PodExit.DATASET_FAILED
    log = (loader.data / "adminlogs/loading.log").read_text()
    assert "s3cr3t" not in refused.said + failed.said + log
    assert site.requests == []


async def test_nothing_of_a_secret_goes_to_the_provider(loader: Pod, site: Site) -> None:
    bodies = []

    async def provider(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        asset = ProvidedAsset(0, "dataset", (FileContent(b"bought"),))
        return web.Response(body=Provided((asset,)).encode())

    site.answers["/internal/assets"] = provider
    token = loader.folder / "token"
    token.write_text("token")
    describe(loader, [{"inline": {"text": "s3cr3t"}}])
    named = Dataset("b", "", (), secret="keys")  # noqa: S106 - a name
    wanted = task(Dataset(DID, "1", (), from_provider=True), named)
    asking = replace(decode_loader_task(wanted), provider_url=site.url(""), namespace="jobs")
    sources = ("--sources", loader.folder / "sources", "--token", token)
    ended = await loader.run(asking.encode(), *sources)
    assert ended.code == PodExit.DONE
    assert bodies == [AssetRequest("jobs", "job-1", 0).encode()]
    assert "s3cr3t" not in repr(site.requests)
    assert (loader.data / "inputs/b/0").read_bytes() == b"s3cr3t"


@pytest.mark.parametrize(
    "ddo",
    ["", "null", "[]", "no JSON", "{" * 10_000, '{"id": "did:op:../../x"}', "\u0000", "\x1b[31m"],
    ids=range(8),
)
async def test_a_ddo_that_is_none_is_a_file_like_any_other(loader: Pod, ddo: str) -> None:
    ended = await loader.run(task(Dataset(DID, "", (File(inline="x"),), ddo)))
    assert ended.code == PodExit.DONE
    assert tree(loader.data / "ddos") == {"a" * 64: ddo.encode()}
    assert tree(loader.data / "inputs") == {f"{'a' * 64}/0": b"x"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_request_ends_it_at_once(loader: Pod, site: Site, number: int) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        asked.set()
        await released.wait()
        return web.Response()

    site.answers["/f"] = slow
    wanted = task(Dataset("a", "", (File(url=site.url("/f")),)), allowed=(site.address,))
    process = await loader.start(wanted)
    async with asyncio.timeout(10):
        await asked.wait()
        process.send_signal(number)
        await asyncio.wait_for(process.communicate(), 2)
    released.set()
    assert process.returncode == 128 + number
