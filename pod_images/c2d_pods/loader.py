"""The loader: fills a job's workspace with its assets and the launcher.

It runs before the algorithm, on a volume that holds nothing but what an earlier attempt of its
own may have left, and starts over from there.
"""

import argparse
import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from c2d_api.asset_request import (
    TOKEN_FILE,
    TOKEN_MOUNT,
    AssetRequest,
    FileContent,
    FileOnRequest,
    FileRequest,
    Provided,
)
from c2d_api.computejob import File
from c2d_api.exits import MESSAGE_PATH, PodExit, Report
from c2d_api.tasks import TASK_FILE, TASK_MOUNT, LoaderTask, decode_loader_task
from c2d_api.workspace import (
    ADMIN_LOGS,
    FOLDERS,
    INPUTS,
    LAUNCHER,
    LAUNCHER_SCRIPT,
    LAUNCHER_SHELL,
    READ_ONLY,
    VOLUME,
    WRITABLE,
)
from c2d_pods.content import (
    Source,
    TransferError,
    TransientError,
    judge_digest,
    judge_length,
    write,
)
from c2d_pods.ending import PodError, Progress, leave, log_to, run
from c2d_pods.patience import Patience
from c2d_pods.placement import EXECUTABLE, NOTHING, READABLE, Item, dataset_folder, items
from c2d_pods.transfer import DeniedError, Downloads, ask_for_file, ask_provider

log = logging.getLogger("c2d_pods.loader")

OWN_LAUNCHER = Path(__file__).parent / "launcher"
PARTIAL = ".part"


def main(arguments: Sequence[str] | None = None) -> int:
    """Load what the task names, and tell how it ended."""
    options = _options(arguments)
    return run(lambda: load(options), options.report)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m c2d_pods.loader", description=__doc__)
    patience = Patience()
    parser.add_argument("--data", type=Path, default=Path(VOLUME), help="the job's volume")
    parser.add_argument(
        "--task", type=Path, default=Path(TASK_MOUNT, TASK_FILE), help="the task, a JSON document"
    )
    parser.add_argument(
        "--report", type=Path, default=Path(MESSAGE_PATH), help="where the report is left"
    )
    parser.add_argument(
        "--token",
        type=Path,
        default=Path(TOKEN_MOUNT, TOKEN_FILE),
        help="the token for the provider",
    )
    parser.add_argument(
        "--busybox",
        type=Path,
        default=OWN_LAUNCHER / LAUNCHER_SHELL,
        help="a static busybox, the launcher's shell",
    )
    parser.add_argument(
        "--attempts", type=int, default=patience.attempts, help="how often a download is tried"
    )
    parser.add_argument(
        "--first-pause",
        type=float,
        default=patience.first_pause,
        help="seconds before the second attempt; doubled before each later one",
    )
    parser.add_argument(
        "--stall",
        type=float,
        default=patience.stall,
        help="seconds without a byte after which a connection is given up",
    )
    return parser.parse_args(arguments)


def load(options: argparse.Namespace) -> Report:
    """Prepare the workspace and fill it."""
    task = decode_loader_task(options.task.read_text(encoding="utf-8"))
    os.umask(0)  # modes are what the calls below say, whatever the image or the cluster sets
    prepare(options.data)
    log_to(options.data / ADMIN_LOGS / "loading.log")
    log.info("Loading the assets of job %s", task.job)
    place_launcher(options.data, options.busybox)
    patience = Patience(
        attempts=options.attempts, first_pause=options.first_pause, stall=options.stall
    )
    return asyncio.run(fill(options.data, task, patience, options.token))


def prepare(data: Path) -> None:
    """Make the folders; what the loader owns begins empty."""
    try:
        for name in (*READ_ONLY, LAUNCHER):
            with suppress(FileNotFoundError):
                shutil.rmtree(data / name)
        for name in FOLDERS:
            (data / name).mkdir(mode=0o777 if name in WRITABLE else 0o755, exist_ok=True)
    except OSError as error:
        raise PodError(
            f"the job's volume cannot be prepared: {error.strerror}; it must be writable for user"
            f" {os.getuid()}",
            PodExit.TRY_AGAIN,
        ) from None


def place_launcher(data: Path, busybox: Path) -> None:
    """Put the first process of the algorithm's container on the volume."""
    for source, name, mode in (
        (busybox, LAUNCHER_SHELL, EXECUTABLE),
        (OWN_LAUNCHER / LAUNCHER_SCRIPT, LAUNCHER_SCRIPT, READABLE),
    ):
        try:
            with created(data / LAUNCHER / name, mode) as target:
                write(target, source.read_bytes())
        except (OSError, TransferError) as error:
            raise PodError(
                f"the launcher's {name} cannot be placed: {error}", PodExit.TRY_AGAIN
            ) from None


async def fill(data: Path, task: LoaderTask, patience: Patience, token: Path) -> Report:
    """Bring every file of the task to its place."""
    provided = await ask(task, patience, token) if task.asks_provider else NOTHING
    wanted = items(task, provided)
    for dataset in task.datasets:
        (data / INPUTS / dataset_folder(dataset)).mkdir(mode=0o755, exist_ok=True)
    progress = Progress(of=len(wanted))

    async def renew(file: FileOnRequest) -> FileRequest:
        request = AssetRequest(task.namespace, task.job, task.attempt, file)
        return await ask_for_file(task.provider_url, token, request, patience)

    async with Downloads(task.egress, patience, renew) as downloads:
        for item in wanted:
            await bring(downloads, data, item, progress)
    log.info("Loaded %s files with %s bytes", progress.files, progress.bytes)
    return Report(count=progress.files, total_bytes=progress.bytes)


async def ask(task: LoaderTask, patience: Patience, token: Path) -> Provided:
    """Ask the provider for the assets of the job."""
    if not task.provider_url:
        raise PodError("there is no provider to ask for the assets", PodExit.DATASET_FAILED)
    request = AssetRequest(task.namespace, task.job, task.attempt)
    try:
        provided = await ask_provider(task.provider_url, token, request, patience)
    except DeniedError as error:
        of_algorithm = error.kind == "algorithm"
        failure = PodExit.ALGORITHM_FAILED if of_algorithm else PodExit.DATASET_FAILED
        raise PodError(f"the provider: {error}", failure) from None
    except TransientError as error:
        raise PodError(f"the provider: {error}", PodExit.TRY_AGAIN) from None
    log.info("The provider handed out %s assets", len(provided.assets))
    return provided


async def bring(downloads: Downloads, data: Path, item: Item, progress: Progress) -> None:
    """Bring one file to its place: complete, or not at all."""
    path = data / item.path
    partial = path.with_name(path.name + PARTIAL)
    try:
        with created(partial, item.mode) as target:
            content = inline(item.file)
            if content is not None:
                place(item.file, content, target, progress)
            else:
                await downloads.fetch(item.file, target, progress.add)
            size = target.tell()
        partial.rename(path)
    except TransientError as error:
        raise PodError(f"{item.label}: {error}", PodExit.TRY_AGAIN) from None
    except TransferError as error:
        raise PodError(f"{item.label}: {error}", item.failure) from None
    progress.done()
    log.info("%s: %s bytes", item.label, size)


def inline(source: Source) -> bytes | None:
    """Find content that needs no request."""
    match source:
        case FileContent():
            return source.content
        case FileRequest() | FileOnRequest():
            return None
        case File():
            return None if source.url is not None else (source.inline or "").encode()


def place(source: Source, content: bytes, target: BinaryIO, progress: Progress) -> None:
    """Write content that the task itself, or the provider's answer, holds."""
    judge_length(len(content), source)
    judge_digest(hashlib.sha256(content).hexdigest(), source)
    write(target, content)
    progress.add(len(content))


def created(path: Path, mode: int) -> BinaryIO:
    """Open a new file of this mode for writing, unbuffered: every error is that of a write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    return cast("BinaryIO", os.fdopen(descriptor, "wb", buffering=0))


if __name__ == "__main__":
    leave(main())
