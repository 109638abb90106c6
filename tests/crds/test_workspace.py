"""Names from outside become folders, and what an algorithm is told of them."""

import json
import re
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from c2d_api.workspace import VOLUME, algorithm_variables, folder_name
from examples import DID
from schemas import fields, schema_of

SCHEMA = dict(fields(schema_of("ComputeJob")))
ID_PATTERN = SCHEMA["spec.datasets[].id"]["pattern"]


@pytest.mark.parametrize(
    ("asset_id", "name"),
    [
        (DID, DID.removeprefix("did:op:")),
        (DID.replace("did:op:", "did:ope:"), DID.removeprefix("did:op:")),
        ("iris", "iris"),
        ("a..b", "a..b"),
        ("did:op:iris", "iris"),
    ],
)
def test_a_folder_is_named_by_the_id_without_its_prefix(asset_id: str, name: str) -> None:
    assert folder_name(asset_id) == name


@pytest.mark.parametrize(
    "asset_id",
    [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "/etc",
        "did:op:",
        "did:op:..",
        "did:op:/etc",
        "did:op:did:op:a",
        "did:op:did:ope:a",
        "did:opee:a",
        ".hidden",
        "-rf",
        "a\n",
        "a\0",
        "a b",
        "ä",
        "x" * 129,
    ],
)
def test_a_name_that_could_leave_its_folder_is_refused(asset_id: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a folder"):
        folder_name(asset_id)


@given(st.text(max_size=140) | st.from_regex(ID_PATTERN))
@example("..")
def test_no_name_leaves_its_folder(asset_id: str) -> None:
    try:
        name = folder_name(asset_id)
    except ValueError:
        return
    assert PurePosixPath("/data/inputs", name).parent == PurePosixPath("/data/inputs")
    assert name not in {".", ".."}
    assert not name.startswith((".", "-"))
    assert name.isascii()


@given(st.from_regex(ID_PATTERN, fullmatch=True))
def test_whatever_the_schema_takes_is_a_folder(asset_id: str) -> None:
    assert folder_name(asset_id)


@given(st.text(max_size=140) | st.from_regex(ID_PATTERN))
def test_whatever_is_a_folder_the_schema_takes(asset_id: str) -> None:
    try:
        folder_name(asset_id)
    except ValueError:
        return
    assert re.fullmatch(ID_PATTERN.rstrip("$"), asset_id)


def test_variables_name_each_dataset_once_in_order() -> None:
    variables = algorithm_variables(["b", DID, "b", "a"], DID, "of the job")
    assert json.loads(variables["DIDS"]) == ["b", DID.removeprefix("did:op:"), "a"]
    assert variables["TRANSFORMATION_DID"] == DID.removeprefix("did:op:")
    assert variables["ALGO"] == f"{VOLUME}/transformations/algorithm"
    assert variables["secret"] == "of the job"  # noqa: S105 - it opens nothing


def test_raw_code_has_no_name() -> None:
    assert algorithm_variables([], "", "s")["TRANSFORMATION_DID"] == ""


def test_a_job_cannot_set_the_variables_of_the_workspace() -> None:
    (rule,) = SCHEMA["spec.algorithm.env[].name"]["x-kubernetes-validations"]
    reserved = set(re.findall(r"'([^']+)'", rule["rule"])) - {"C2D_"}
    assert reserved == set(algorithm_variables([], "", ""))
