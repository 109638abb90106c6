"""Where assets go: tables, and every name that a stranger could think of."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_api.computejob import Dataset, File
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask
from c2d_pods.ending import PodError
from c2d_pods.placement import items

ONE, TWO = File(inline="1"), File(inline="2")


def task(
    *datasets: Dataset,
    algorithm_id: str = "",
    files: tuple[File, ...] = (),
    raw_code: str | None = "code",
    ddo: str | None = None,
    custom_data: str | None = None,
) -> LoaderTask:
    return LoaderTask("job", datasets, algorithm_id, files, raw_code, ddo, custom_data, ())


def placed(wanted: LoaderTask) -> dict[str, str | None]:
    return {item.path: item.file.inline for item in items(wanted)}


@pytest.mark.parametrize(
    ("wanted", "paths"),
    [
        pytest.param(task(), {"transformations/algorithm": "code"}, id="raw code alone"),
        pytest.param(
            task(Dataset("did:op:aa", "", (ONE, TWO), "{}")),
            {
                "inputs/aa/0": "1",
                "inputs/aa/1": "2",
                "ddos/aa": "{}",
                "transformations/algorithm": "code",
            },
            id="a dataset's files by number, its DDO, without the prefix",
        ),
        pytest.param(
            task(Dataset("did:op:aa", "s1", (ONE, ONE)), Dataset("aa", "s2", (TWO,))),
            {
                "inputs/aa/0": "1",
                "inputs/aa/1": "1",
                "inputs/aa/2": "2",
                "transformations/algorithm": "code",
            },
            id="another service of a dataset numbers its files on",
        ),
        pytest.param(
            task(algorithm_id="did:op:bb", files=(ONE, TWO), raw_code=None, ddo="{}"),
            {
                "transformations/algorithm": "1",
                "transformations/1": "2",
                "ddos/bb": "{}",
                "inputs/algoCustomData.json": "null",
            },
            id="a published algorithm always finds custom data",
        ),
        pytest.param(
            task(custom_data='{"a": 1}'),
            {"transformations/algorithm": "code", "inputs/algoCustomData.json": '{"a": 1}'},
            id="raw code finds custom data that was given",
        ),
    ],
)
def test_files_have_the_places_that_algorithms_rely_on(
    wanted: LoaderTask, paths: dict[str, str | None]
) -> None:
    assert placed(wanted) == paths


@pytest.mark.parametrize("name", ["algoCustomData.json", "did:op:algoCustomData.json"])
def test_a_dataset_cannot_take_the_place_of_the_custom_data(name: str) -> None:
    with pytest.raises(PodError, match="custom data") as caught:
        items(task(Dataset(name, "", (ONE,))))
    assert caught.value.code is PodExit.DATASET_FAILED


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/b", "did:op:", "did:op:..", ".hidden", "", "a\n", "a\0", "x" * 129]
)
def test_names_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(PodError) as caught:
        items(task(Dataset(name, "", (ONE,))))
    assert caught.value.code is PodExit.DATASET_FAILED


def test_an_algorithm_whose_name_is_no_file_is_refused() -> None:
    with pytest.raises(PodError) as caught:
        items(task(algorithm_id="../../adminlogs", ddo="{}"))
    assert caught.value.code is PodExit.ALGORITHM_FAILED


@given(
    st.lists(st.text(alphabet=st.sampled_from("ab./:\\\0\n -_did:op:"), max_size=12), max_size=4)
)
def test_no_name_leads_out_of_its_folder(names: list[str]) -> None:
    datasets = [Dataset(name, "", (ONE, TWO), "{}") for name in names]
    try:
        paths = [item.path for item in items(task(*datasets))]
    except PodError:
        return
    for path in paths:
        parts = PurePosixPath(path).parts
        assert parts[0] in {"inputs", "ddos", "transformations"}
        assert ".." not in parts
        assert not path.startswith("/")
    inputs = [path for path in paths if path.startswith("inputs/")]
    assert len(set(inputs)) == 2 * len(names)
