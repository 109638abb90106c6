"""Where each asset of a job goes in its workspace; the loader's decisions, without any network."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from c2d_api.asset_request import AssetKind, Provided, ProvidedAsset
from c2d_api.computejob import Dataset, File
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask
from c2d_api.workspace import ALGORITHM, CUSTOM_DATA, DDOS, INPUTS, TRANSFORMATIONS, folder_name
from c2d_pods.content import Source
from c2d_pods.ending import PodError

READABLE = 0o444
EXECUTABLE = 0o555
NOTHING = Provided(())


@dataclass(frozen=True)
class Item:
    """One file of the workspace: what people call it, its path, what it holds."""

    label: str
    path: str
    file: Source
    failure: PodExit
    mode: int = READABLE


def items(task: LoaderTask, provided: Provided = NOTHING) -> tuple[Item, ...]:
    """List the files of a job's workspace, inputs first; `provided` is the provider's answer.

    Raises:
        PodError: An asset's name cannot be a path, or the provider left one out.
    """
    return (*_datasets(task, provided), *_algorithm(task, provided))


def _answered(provided: Provided, kind: AssetKind, position: int, asset_id: str) -> ProvidedAsset:
    found = provided.find(kind, position)
    if found is None:
        failure = PodExit.ALGORITHM_FAILED if kind == "algorithm" else PodExit.DATASET_FAILED
        raise PodError(f"{kind} {asset_id}: the provider's answer does not have it", failure)
    return found


def _datasets(task: LoaderTask, provided: Provided) -> Iterator[Item]:
    """Number the files of a dataset; another service of the same one numbers them on."""
    numbers: Counter[str] = Counter()
    for position, dataset in enumerate(task.datasets):
        folder = dataset_folder(dataset)
        files: tuple[Source, ...] = dataset.files
        ddo = dataset.ddo
        if dataset.from_provider:
            answer = _answered(provided, "dataset", position, dataset.id)
            files, ddo = answer.files, ddo or answer.ddo
        for file in files:
            number = numbers[folder]
            numbers[folder] += 1
            yield Item(
                f"dataset {dataset.id} file {number}",
                f"{INPUTS}/{folder}/{number}",
                file,
                PodExit.DATASET_FAILED,
            )
        if ddo is not None:
            yield Item(
                f"DDO of dataset {dataset.id}",
                f"{DDOS}/{folder}",
                File(inline=ddo),
                PodExit.DATASET_FAILED,
            )


def dataset_folder(dataset: Dataset) -> str:
    """Name a dataset's folder among the inputs.

    Raises:
        PodError: Its name is no folder's, or taken.
    """
    try:
        folder = folder_name(dataset.id)
    except ValueError as error:
        raise PodError(f"dataset {error}", PodExit.DATASET_FAILED) from None
    if f"{INPUTS}/{folder}" == CUSTOM_DATA:
        raise PodError(
            f"dataset {dataset.id} has the name of the algorithm's custom data",
            PodExit.DATASET_FAILED,
        )
    return folder


def _algorithm(task: LoaderTask, provided: Provided) -> Iterator[Item]:
    code: tuple[Source, ...] = task.algorithm_files
    ddo = task.algorithm_ddo
    if task.raw_code is not None:
        code = (File(inline=task.raw_code),)
    elif task.algorithm_from_provider:
        answer = _answered(provided, "algorithm", 0, task.algorithm_id)
        code, ddo = answer.files, ddo or answer.ddo
    for number, file in enumerate(code):
        yield Item(
            f"algorithm file {number}",
            f"{TRANSFORMATIONS}/{number}" if number else ALGORITHM,
            file,
            PodExit.ALGORITHM_FAILED,
            READABLE if number else EXECUTABLE,
        )
    if task.algorithm_id and ddo is not None:
        yield Item(
            "DDO of the algorithm",
            f"{DDOS}/{_algorithm_name(task)}",
            File(inline=ddo),
            PodExit.ALGORITHM_FAILED,
        )
    # Published algorithms find the file always, as Ocean's provider gave it to them.
    if task.custom_data is not None or task.algorithm_id:
        yield Item(
            "custom data of the algorithm",
            CUSTOM_DATA,
            File(inline="null" if task.custom_data is None else task.custom_data),
            PodExit.ALGORITHM_FAILED,
        )


def _algorithm_name(task: LoaderTask) -> str:
    try:
        return folder_name(task.algorithm_id)
    except ValueError as error:
        raise PodError(f"algorithm {error}", PodExit.ALGORITHM_FAILED) from None
