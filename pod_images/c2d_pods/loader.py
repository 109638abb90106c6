"""The loader: fills a job's workspace with its assets and the launcher.

It runs before the algorithm, on a volume that holds nothing but what an earlier attempt of its
own may have left, and starts over from there.
"""

import argparse
import logging
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from c2d_api.asset_request import TOKEN_FILE, TOKEN_MOUNT
from c2d_api.exits import MESSAGE_PATH, PodExit, Report
from c2d_api.tasks import (
    SOURCES_MOUNT,
    TASK_FILE,
    TASK_MOUNT,
    Endpoint,
    LoaderTask,
    decode_loader_task,
)
from c2d_api.workspace import (
    ADMIN_LOGS,
    FOLDERS,
    INPUTS,
    LAUNCHER,
    LAUNCHER_CLOSED,
    LAUNCHER_CONNECT,
    LAUNCHER_SCRIPT,
    LAUNCHER_SHELL,
    READ_ONLY,
    VOLUME,
    WRITABLE,
)
from c2d_pods.content import NO_ROOM, PermanentError, TransferError, write
from c2d_pods.ending import PodError, Progress, leave, log_to, run
from c2d_pods.patience import Patience
from c2d_pods.placement import EXECUTABLE, NOTHING, READABLE, dataset_folder, items
from c2d_pods.placing import created, inline, place

log = logging.getLogger("c2d_pods.loader")

OWN_LAUNCHER = Path(__file__).parent / "launcher"
REACHED = 9
"""What the launcher's script for connecting ends with where something takes the connection."""


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
        "--sources",
        type=Path,
        default=Path(SOURCES_MOUNT),
        help="the Secrets that describe files, in numbered folders",
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
    place_launcher(options.data, options.busybox, task.closed)
    patience = Patience(
        attempts=options.attempts, first_pause=options.first_pause, stall=options.stall
    )
    reach(options.data / LAUNCHER, task.canary, patience)
    if task.secrets:
        from c2d_pods.described import with_described_files  # noqa: PLC0415 - few jobs need it

        task = with_described_files(task, options.sources)
    return fill(options.data, task, patience, options.token)


def prepare(data: Path) -> None:
    """Make the folders; what the loader owns begins empty."""
    try:
        for name in (*READ_ONLY, LAUNCHER):
            with suppress(FileNotFoundError):
                shutil.rmtree(data / name)
        for name in FOLDERS:
            (data / name).mkdir(mode=0o777 if name in WRITABLE else 0o755, exist_ok=True)
    except OSError as error:
        _refuse_small(error)
        raise PodError(
            f"the job's volume cannot be prepared: {error.strerror}; it must be writable for user"
            f" {os.getuid()}",
            PodExit.TRY_AGAIN,
        ) from None


def _refuse_small(error: OSError) -> None:
    """End at once where a next attempt would find as little room."""
    if error.errno in NO_ROOM:
        raise PodError("the job's volume is full: ask for more disk", PodExit.DATASET_FAILED)


def place_launcher(data: Path, busybox: Path, closed: Sequence[Endpoint] = ()) -> None:
    """Put the first process of the algorithm's container on the volume.

    With it comes the list of what must not be reached from there.
    """
    listed = "".join(f"{endpoint.address} {endpoint.port}\n" for endpoint in closed)
    for source, name, mode in (
        (busybox, LAUNCHER_SHELL, EXECUTABLE),
        (OWN_LAUNCHER / LAUNCHER_SCRIPT, LAUNCHER_SCRIPT, READABLE),
        (OWN_LAUNCHER / LAUNCHER_CONNECT, LAUNCHER_CONNECT, READABLE),
        (None, LAUNCHER_CLOSED, READABLE),
    ):
        try:
            with created(data / LAUNCHER / name, mode) as target:
                write(target, source.read_bytes() if source else listed.encode())
        except (OSError, TransferError) as error:
            if isinstance(error, OSError):
                _refuse_small(error)
            final = isinstance(error, PermanentError)
            raise PodError(
                f"the launcher's {name} cannot be placed: {error}",
                PodExit.DATASET_FAILED if final else PodExit.TRY_AGAIN,
            ) from None


def reach(launcher: Path, canary: Sequence[Endpoint], patience: Patience) -> None:
    """Reach the canary as the launcher will try to, so that its failure there proves something.

    The policy that opens the way may come a moment after the pod.
    """
    for endpoint in canary:
        for attempt in range(patience.attempts):
            if attempt:
                time.sleep(patience.pause(attempt, 0.0, 0.0))
            if is_reached(launcher, endpoint):
                break
        else:
            raise PodError(
                f"the canary cannot be reached at {endpoint.address} port {endpoint.port}: is it"
                " running, and does the network let loaders through?",
                PodExit.TRY_AGAIN,
            )


def is_reached(launcher: Path, endpoint: Endpoint) -> bool:
    """Say whether something takes a connection there."""
    script, where = str(launcher / LAUNCHER_CONNECT), (endpoint.address, str(endpoint.port))
    shell = str(launcher / LAUNCHER_SHELL)
    process = os.posix_spawn(shell, [shell, "sh", script, *where], os.environ)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) == REACHED


def fill(data: Path, task: LoaderTask, patience: Patience, token: Path) -> Report:
    """Bring every file of the task to its place; those that need no request come first."""
    provided = NOTHING
    if task.asks_provider:
        from c2d_pods.fetching import ask  # noqa: PLC0415 - it takes a third of the start

        provided = ask(task, patience, token)
    wanted = items(task, provided)
    try:
        for dataset in task.datasets:
            (data / INPUTS / dataset_folder(dataset)).mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        _refuse_small(error)
        raise
    progress = Progress(of=len(wanted))
    distant = []
    for item in wanted:
        content = inline(item.file)
        if content is None:
            distant.append(item)
        else:
            place(data, item, content, progress)
    if distant:
        from c2d_pods.fetching import fetch  # noqa: PLC0415 - it takes a third of the start

        fetch(data, task, distant, patience, token, progress)
    log.info("Loaded %s files with %s bytes", progress.files, progress.bytes)
    return Report(count=progress.files, total_bytes=progress.bytes)


if __name__ == "__main__":
    leave(main())
