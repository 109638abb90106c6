"""Loader and publisher on volumes of a real size that take nothing more."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web

from c2d_api.computeenvironment import Store
from c2d_api.computejob import Dataset, File
from c2d_api.exits import PodExit
from c2d_api.results import decode_manifest
from c2d_api.tasks import LoaderTask, PublisherTask
from local_stack import volumes
from pods import Pod, Site

SIZE = 16 * 2**20
UID = "6b1f3c7e-0000-4000-8000-000000000001"
FULL = "the job's volume is full: ask for more disk"


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """Make a volume where pods' programs expect the job's."""
    place = tmp_path / "data"
    variables = {"PATH": os.environ["PATH"], "VOL_DIR": place, "VOL_SIZE_BYTES": str(SIZE)}
    subprocess.run(["sh", volumes.SETUP], env=variables, check=True)
    yield place
    subprocess.run(["sh", volumes.TEARDOWN], env=variables, check=True)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


def take_all_room(folder: Path) -> int:
    """Fill a volume with one file, and tell its size."""
    place = folder / "big"
    with pytest.raises(OSError, match="No space left"):
        write_without_end(place)
    return place.stat().st_size


def write_without_end(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            continue


def take_all_files(folder: Path) -> int:
    """Fill a volume with empty files, and tell their number."""
    with pytest.raises(OSError, match="No space left"):
        touch_without_end(folder)
    return len(list(folder.iterdir()))


def touch_without_end(folder: Path) -> None:
    for number in count():
        (folder / str(number)).touch()


def publisher_task(store: Path) -> str:
    return PublisherTask(
        "job-1", "jobs", UID, None, (), "DiskQuotaExceeded", Store(f"file://{store}"), None
    ).encode()


@pytest.mark.parametrize("has_folder", [True, False], ids=["a log began", "no folder for a log"])
@pytest.mark.parametrize("fill", [take_all_room, take_all_files])
async def test_results_are_published_from_a_volume_that_takes_no_log(
    tmp_path: Path, volume: Path, *, fill: Callable[[Path], int], has_folder: bool
) -> None:
    for name in ("outputs", "logs", *(("adminlogs",) if has_folder else ())):
        (volume / name).mkdir()
    (volume / "logs/algorithm.log").write_text("said\n")
    taken = fill(volume / "outputs")
    ended = await Pod("c2d_pods.publisher", tmp_path).run(publisher_task(tmp_path / "store"))
    assert ended.code == PodExit.DONE, ended.errors
    files = decode_manifest((tmp_path / "store" / UID / "manifest.json").read_bytes()).files
    sizes = {file.name: file.size for file in files}
    assert sizes.pop("algorithm.log") == len("said\n")
    assert sizes == {"big": taken} or list(sizes.values()) == taken * [0]
    assert ended.errors.count("The admin log cannot be written: ") == 1
    assert "Traceback" not in ended.errors


def loader_task(*datasets: Dataset, site: Site | None = None) -> str:
    return LoaderTask(
        job="job-1",
        datasets=datasets,
        algorithm_id="",
        algorithm_files=(),
        raw_code="print('hello')",
        algorithm_ddo=None,
        custom_data=None,
        egress=(site.address,) if site else (),
    ).encode()


def loader(folder: Path, shell: bytes = b"\x7fELF static shell") -> Pod:
    (folder / "shell").write_bytes(shell)
    return Pod("c2d_pods.loader", folder, "--busybox", folder / "shell")


async def test_a_volume_that_is_full_from_the_start_is_not_tried_again(
    tmp_path: Path, volume: Path
) -> None:
    take_all_files(volume)
    ended = await loader(tmp_path).run(loader_task())
    assert (ended.code, ended.report["message"]) == (PodExit.DATASET_FAILED, FULL)


async def test_a_volume_without_room_for_the_launcher_is_not_tried_again(
    tmp_path: Path, volume: Path
) -> None:
    ended = await loader(tmp_path, shell=bytes(SIZE)).run(loader_task())
    assert ended.code == PodExit.DATASET_FAILED
    assert ended.report["message"] == f"the launcher's busybox cannot be placed: {FULL}"


async def test_a_volume_without_room_for_a_file_is_not_tried_again(
    tmp_path: Path, volume: Path, site: Site
) -> None:
    url = site.serve("/large", bytes(SIZE))
    wanted = loader_task(Dataset("a", "", (File(url=url),)), site=site)
    ended = await loader(tmp_path).run(wanted)
    assert ended.code == PodExit.DATASET_FAILED
    assert str(ended.report["message"]).startswith(
        f"dataset a file 0: its {SIZE} bytes do not fit on the job's volume, which has "
    )
    assert len(site.requests) == 1


async def test_a_volume_without_a_place_for_a_file_is_not_tried_again(
    tmp_path: Path, volume: Path
) -> None:
    files = tuple(File(inline="") for _ in range(5000))
    ended = await loader(tmp_path).run(loader_task(Dataset("a", "", files)))
    assert ended.code == PodExit.DATASET_FAILED
    assert str(ended.report["message"]).endswith(FULL)
