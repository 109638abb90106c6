"""What the loader does over the network: it asks the provider, and fetches files, some at once.

Imported by jobs alone that have something to fetch: asyncio and aiohttp take a third of a
loader's start, and most of its memory.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from c2d_api.asset_request import AssetRequest, FileOnRequest, FileRequest, Provided
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask
from c2d_pods.content import TransientError
from c2d_pods.ending import PROGRESS_SECONDS, PodError, Progress
from c2d_pods.patience import Patience
from c2d_pods.placement import Item
from c2d_pods.placing import arriving
from c2d_pods.transfer import DeniedError, Downloads, Shared, ask_for_file, ask_provider

log = logging.getLogger(__name__)

LANES = 4


@dataclass(frozen=True)
class Failure:
    """Why a file could not be had, and its place among those that were wanted."""

    position: int
    error: PodError


def ask(task: LoaderTask, patience: Patience, token: Path) -> Provided:
    """Ask the provider for the assets of the job."""
    if not task.provider_url:
        raise PodError("there is no provider to ask for the assets", PodExit.DATASET_FAILED)
    request = AssetRequest(task.namespace, task.job, task.attempt)
    try:
        provided = asyncio.run(ask_provider(task.provider_url, token, request, patience))
    except DeniedError as error:
        of_algorithm = error.kind == "algorithm"
        failure = PodExit.ALGORITHM_FAILED if of_algorithm else PodExit.DATASET_FAILED
        raise PodError(f"the provider: {error}", failure) from None
    except TransientError as error:
        raise PodError(f"the provider: {error}", PodExit.TRY_AGAIN) from None
    log.info("The provider handed out %s assets", len(provided.assets))
    return provided


def fetch(
    data: Path,
    task: LoaderTask,
    wanted: Sequence[Item],
    patience: Patience,
    token: Path,
    progress: Progress,
) -> None:
    """Bring files to their places over the network."""
    asyncio.run(Fetching(data, task, patience, token, progress).fetch(wanted))


class Fetching:
    """The files of one job that come over the network."""

    def __init__(
        self, data: Path, task: LoaderTask, patience: Patience, token: Path, progress: Progress
    ) -> None:
        """Begin with nothing fetched."""
        self._data, self._task, self._patience = data, task, patience
        self._token, self._progress = token, progress
        self._shared = Shared()
        self._failures: list[Failure] = []

    async def fetch(self, wanted: Sequence[Item]) -> None:
        """Bring the files to their places, in lanes that take the next file when one is there.

        Raises:
            PodError: One of them could not be had, which ended the others.
        """
        left = iter(enumerate(wanted))
        teller = asyncio.create_task(self._tell())
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(min(LANES, len(wanted))):
                    lanes.create_task(self._lane(left))
        except ExceptionGroup as group:
            # What nobody foresaw keeps its type and place, which is all that is told of it.
            raise (decisive(self._failures) or group.exceptions[0]) from None
        finally:
            teller.cancel()

    async def _tell(self) -> None:
        """Tell what came last, also where nothing comes after it that would let it be told."""
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            self._progress.tell_news()

    async def _lane(self, left: Iterator[tuple[int, Item]]) -> None:
        async with Downloads(
            self._task.egress,
            self._patience,
            self._renew,
            self._shared,
            gateways=self._task.gateways,
        ) as downloads:
            for position, item in left:
                try:
                    with arriving(self._data, item, self._progress) as target:
                        announce = partial(self._progress.expect, item.path)
                        await downloads.fetch(item.file, target, self._progress.add, announce)
                except PodError as error:
                    self._failures.append(Failure(position, error))
                    raise

    async def _renew(self, file: FileOnRequest) -> FileRequest:
        task = self._task
        request = AssetRequest(task.namespace, task.job, task.attempt, file)
        return await ask_for_file(task.provider_url, self._token, request, self._patience)


def decisive(failures: Iterable[Failure]) -> PodError | None:
    """Choose the failure to report: one that will not pass, if there is one; then the first."""
    order = sorted(failures, key=lambda f: (f.error.code == PodExit.TRY_AGAIN, f.position))
    return order[0].error if order else None
