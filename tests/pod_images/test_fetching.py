"""Several files at once: faster, and right in all that they share."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from aiohttp import web

from c2d_api.asset_request import FileOnRequest, FileRequest, Provided, ProvidedAsset
from c2d_api.computejob import Dataset, File
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask
from c2d_pods.arrival import Space
from c2d_pods.content import PermanentError, room
from c2d_pods.ending import PodError
from c2d_pods.fetching import LANES, Failure, decisive
from pods import Pod, Site


def task(site: Site, *files: File) -> str:
    return LoaderTask(
        job="job-1",
        datasets=(Dataset("a", "", files, from_provider=not files),),
        algorithm_id="",
        algorithm_files=(),
        raw_code="code",
        algorithm_ddo=None,
        custom_data=None,
        egress=(site.address,),
        namespace="jobs",
        provider_url=site.url("/c2d"),
    ).encode()


class Crowd:
    """Counts who is there at once; lets nobody go on before so many have been there together."""

    def __init__(self, least: int = 1) -> None:
        self.there = self.most = 0
        self._least, self._enough = least, asyncio.Event()

    def enter(self) -> None:
        self.there += 1
        self.most = max(self.most, self.there)
        if self.there >= self._least:
            self._enough.set()

    async def leave(self) -> None:
        await self._enough.wait()
        self.there -= 1


async def test_a_few_files_are_fetched_at_once(loader: Pod, site: Site) -> None:
    crowd = Crowd(least=LANES)
    begun: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        begun.append(len(list(loader.data.glob("inputs/a/*.part"))))
        crowd.enter()
        await crowd.leave()
        return web.Response(body=request.path.encode() * 1000)

    paths = [f"/{number}" for number in range(3 * LANES)]
    site.answers = dict.fromkeys(paths, answer)
    ended = await loader.run(task(site, *(File(url=site.url(path)) for path in paths)))
    assert ended.code == PodExit.DONE, ended.said
    assert crowd.most == max(begun) == LANES
    for path in paths:
        assert (loader.data / "inputs/a" / path[1:]).read_bytes() == path.encode() * 1000
    size = sum(len(path) for path in paths) * 1000 + len("code")
    told = json.loads(ended.output.splitlines()[-1])["progress"]
    assert told == {"files": len(paths) + 1, "of": len(paths) + 1, "bytes": size, "ofBytes": size}
    assert (ended.report["count"], ended.report["totalBytes"]) == (len(paths) + 1, size)


async def test_what_came_last_is_told_though_nothing_follows(loader: Pod, site: Site) -> None:
    released = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 3000
        await response.prepare(request)
        await response.write(bytes(1000))
        await released.wait()
        await response.write(bytes(2000))
        return response

    site.answers["/f"] = stall
    process = await loader.start(task(site, File(url=site.url("/f"))))
    assert process.stdout
    wanted = {"files": 1, "of": 2, "bytes": 1000 + len("code"), "ofBytes": 3000 + len("code")}
    async with asyncio.timeout(30):
        while (line := await process.stdout.readline()) and line.startswith(b'{"progress"'):
            if json.loads(line)["progress"] == wanted:
                break
        released.set()
        await process.communicate()
    assert json.loads(line)["progress"] == wanted
    assert process.returncode == PodExit.DONE


async def test_a_file_that_will_not_be_had_ends_the_others(loader: Pod, site: Site) -> None:
    waiting, released = asyncio.Event(), asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        waiting.set()
        await released.wait()
        return response

    async def gone(_: web.Request) -> web.Response:
        await waiting.wait()
        return web.Response(status=410)

    site.answers = {"/0": endless, "/1": gone}
    ended = await loader.run(task(site, *(File(url=site.url(path)) for path in site.answers)))
    released.set()
    assert ended.code == PodExit.DATASET_FAILED
    assert ended.report["message"] == "dataset a file 1: the server answered 410"
    assert not (loader.data / "inputs/a/0").exists()


def failure(position: int, code: PodExit) -> Failure:
    return Failure(position, PodError(str(position), code))


@pytest.mark.parametrize(
    ("failures", "reported"),
    [
        pytest.param([], None, id="none"),
        pytest.param(
            [failure(5, PodExit.DATASET_FAILED), failure(3, PodExit.ALGORITHM_FAILED)],
            "3",
            id="the first in the order of the files, not of time",
        ),
        pytest.param(
            [failure(1, PodExit.TRY_AGAIN), failure(3, PodExit.DATASET_FAILED)],
            "3",
            id="what will not pass before what may",
        ),
        pytest.param(
            [failure(4, PodExit.TRY_AGAIN), failure(2, PodExit.TRY_AGAIN)], "2", id="what may pass"
        ),
    ],
)
def test_one_failure_is_reported(failures: list[Failure], reported: str | None) -> None:
    error = decisive(failures)
    assert (error and str(error)) == reported


def test_files_do_not_count_on_the_same_room(tmp_path: Path) -> None:
    space = Space()
    with (
        (tmp_path / "a").open("wb", buffering=0) as one,
        (tmp_path / "b").open("wb", buffering=0) as other,
    ):
        free = room(one)
        space.reserve(one, free * 3 // 4)
        with pytest.raises(PermanentError, match="do not fit"):
            space.reserve(other, free // 2)
        space.reserve(other, free // 8)
        space.release(other)
        space.fill(one, free // 2)
        space.reserve(other, free // 2)
        space.release(one)
        space.release(other)
        space.reserve(other, free * 3 // 4)


async def test_announced_files_that_do_not_fit_together_are_refused(
    loader: Pod, site: Site
) -> None:
    disk = os.statvfs(loader.folder)
    released = asyncio.Event()

    async def announced(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = disk.f_bavail * disk.f_frsize * 2 // 3
        await response.prepare(request)
        await response.write(b"begun")
        await released.wait()
        return response

    site.answers = {"/0": announced, "/1": announced}
    ended = await loader.run(task(site, *(File(url=site.url(path)) for path in site.answers)))
    released.set()
    assert ended.code == PodExit.DATASET_FAILED
    assert "do not fit on the job's volume" in str(ended.report["message"])


async def test_requests_good_once_are_signed_and_sent_in_turn(
    loader: Pod, site: Site, tmp_path: Path
) -> None:
    signed = Crowd()

    async def provider(request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        if "file" not in asked:
            once = tuple(FileOnRequest("dataset", 0, number) for number in range(2 * LANES))
            return web.Response(body=Provided((ProvidedAsset(0, "dataset", once),)).encode())
        signed.enter()
        file = FileRequest(site.url("/once"))
        return web.Response(body=Provided((ProvidedAsset(0, "dataset", (file,)),)).encode())

    async def other_provider(_: web.Request) -> web.Response:
        await signed.leave()
        return web.Response(body=b"rows")

    site.answers = {"/c2d/internal/assets": provider, "/once": other_provider}
    (tmp_path / "token").write_text("token")
    ended = await loader.run(task(site), "--token", tmp_path / "token")
    assert ended.code == PodExit.DONE, ended.said
    assert signed.most == 1
    assert len(list((loader.data / "inputs/a").iterdir())) == 2 * LANES
