"""What a Secret says of files is taken and refused as the API server takes and refuses a job's."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import examples
from c2d_api.computejob import Dataset, File, IpfsFile, S3Object, parse_job
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask
from c2d_pods import described
from c2d_pods.described import DescriptionError, parse_files, with_described_files
from c2d_pods.ending import PodError
from file_rules import files_fields
from schemas import fields, put, schema_of, value_at

FILES = "spec.datasets[].source.files"
KEYS = {"accessKeyId": "AKID", "secretAccessKey": "s3cr3t/+="}
S3 = {"bucket": "trees", "key": "a.csv", "endpoint": "https://s3.example.org"}
URL = {"url": "https://example.org/"}


def examples_of_files() -> list[Any]:
    listed: list[Any] = examples.full_job()["spec"]["datasets"][0]["source"]["files"]
    return listed


def parsed(listed: object) -> tuple[File, ...]:
    return parse_files(json.dumps(listed).encode())


def refusal(content: bytes) -> str:
    with pytest.raises(DescriptionError) as refused:
        parse_files(content)
    return str(refused.value)


def with_value(path: str, value: object) -> list[Any]:
    body = {"files": examples_of_files()}
    put(body, path.removeprefix(f"{FILES.rpartition('.')[0]}."), value)
    listed: list[Any] = body["files"]
    return listed


def rows(*, good: bool) -> Iterator[Any]:
    for field in files_fields(FILES):
        for value in field.good if good else field.bad:
            yield pytest.param(
                field.path, value, id=f"{field.path} {json.dumps(value)[:40]}".replace(FILES, "")
            )


@pytest.mark.parametrize(("path", "value"), tuple(rows(good=True)))
def test_what_the_api_server_takes_is_taken(path: str, value: object) -> None:
    assert len(parsed(with_value(path, value))) == 5


@pytest.mark.parametrize(("path", "value"), tuple(rows(good=False)))
def test_what_the_api_server_refuses_is_refused(path: str, value: object) -> None:
    refusal(json.dumps(with_value(path, value)).encode())


def limits() -> Iterator[Any]:
    """The limits that the schema of a job names by keyword: what is just good, and just not."""
    for kind in ("datasets[]", "algorithm"):
        path = f"spec.{kind}.source.files"
        for name, schema in fields(schema_of("ComputeJob")):
            if not name.startswith(path):
                continue
            where = name.replace(path, FILES)
            if "maxLength" in schema and "pattern" not in schema:
                most = schema["maxLength"]
                yield pytest.param(where, "a" * most, "a" * (most + 1), id=f"{where} length")
            if "maximum" in schema:
                most, least = schema["maximum"], schema["minimum"]
                yield pytest.param(where, most, most + 1, id=f"{where} maximum")
                yield pytest.param(where, least, least - 1, id=f"{where} minimum")
                yield pytest.param(where, least, True, id=f"{where} boolean")
            if schema["type"] == "string" and "enum" not in schema:
                yield pytest.param(where, None, 5, id=f"{where} type")
            if "properties" in schema:
                yield pytest.param(where, None, "none", id=f"{where} type")


@pytest.mark.parametrize(("path", "good", "bad"), tuple(limits()))
def test_the_limits_are_those_of_the_schema(path: str, good: object, bad: object) -> None:
    if good is not None:
        parsed(with_value(path, good))
    refusal(json.dumps(with_value(path, bad)).encode())


def test_texts_of_a_pattern_have_the_length_that_the_schema_gives_them() -> None:
    prefix = {"url.url": "https://example.org/", "s3.endpoint": "https://", "ipfs.cid": "b"}
    for name, schema in fields(schema_of("ComputeJob")):
        short = name.removeprefix(f"{FILES}[].")
        fixed = short in {"arweave.transactionId", "sha256", "ipfs.cid"}
        if not name.startswith(FILES) or "pattern" not in schema or fixed:
            continue
        start = prefix.get(short, "")
        longest = start + "a" * (schema["maxLength"] - len(start))
        parsed(with_value(name, longest))
        refusal(json.dumps(with_value(name, longest + "a")).encode())


@pytest.mark.parametrize("kind", ["datasets[]", "algorithm"])
def test_counts_are_those_of_the_schema(kind: str) -> None:
    schema = dict(fields(schema_of("ComputeJob")))[f"spec.{kind}.source.files"]
    most = {
        "datasets[]": described.MAX_DATASET_FILES,
        "algorithm": described.MAX_ALGORITHM_FILES,
    }[kind]
    assert (schema["minItems"], schema["maxItems"]) == (1, most)
    file = {"inline": {"text": ""}}
    assert len(parse_files(json.dumps([file] * most).encode(), most)) == most
    with pytest.raises(DescriptionError):
        parse_files(json.dumps([file] * (most + 1)).encode(), most)


@pytest.mark.parametrize("path", ["", ".url", ".inline", ".s3", ".ipfs", ".arweave"])
def test_a_field_that_a_job_does_not_have_is_refused(path: str) -> None:
    listed = with_value(f"{FILES}[]{path}.nonsense", "x")
    assert "too many" in refusal(json.dumps(listed).encode())


def test_a_file_is_the_same_in_a_secret_and_in_a_job() -> None:
    body = examples.full_job()
    body["metadata"] |= {
        "namespace": "jobs",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": examples.TIME,
    }
    body["spec"]["datasets"][0]["source"]["files"] = examples_of_files()
    in_job = parse_job(body).spec.datasets[0].files
    for file in examples_of_files():
        file.get("s3", {}).pop("region", None)
    assert parsed(examples_of_files()) == in_job
    assert parsed([{"ipfs": {"cid": examples.CID}}]) == (File(ipfs=IpfsFile(examples.CID)),)


def test_credentials_are_read_and_never_shown() -> None:
    (file,) = parsed([{"s3": {**S3, **KEYS}}])
    assert file.s3 == S3Object(
        "trees", "a.csv", "https://s3.example.org", "us-east-1", "AKID", "s3cr3t/+="
    )
    assert "s3cr3t" not in repr(file)
    assert "AKID" not in repr(file)


@pytest.mark.parametrize(
    "keys",
    [
        {"accessKeyId": "AKID"},
        {"secretAccessKey": "s3cr3t"},
        {**KEYS, "accessKeyId": ""},
        {**KEYS, "accessKeyId": "a b"},
        {**KEYS, "accessKeyId": "x" * 257},
        {**KEYS, "secretAccessKey": "s3cr3t\n"},
        {**KEYS, "secretAccessKey": None},
        {**KEYS, "sessionToken": "s3cr3t"},
    ],
)
def test_half_a_key_or_one_that_is_none_is_refused(keys: dict[str, object]) -> None:
    words = refusal(json.dumps([{"s3": {**S3, **keys}}]).encode())
    assert "s3cr3t" not in words
    assert "AKID" not in words


@pytest.mark.parametrize(
    "headers",
    [
        {"name": "A", "value": "s3cr3t"},
        [{"name": "A"}],
        [{"name": "A", "value": "s3cr3t", "more": ""}],
        [{"name": "A", "value": "s3cr3t"}] * 2,
        [{"name": f"A{number}", "value": "s3cr3t"} for number in range(17)],
        ["s3cr3t"],
        None,
    ],
)
def test_headers_are_a_list_without_twins(headers: object) -> None:
    words = refusal(json.dumps([{"url": {**URL, "headers": headers}}]).encode())
    assert "s3cr3t" not in words
    parsed([{"url": {**URL, "headers": [{"name": "A", "value": "x"}]}}])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"s3cr3t",
        b"\xff\xfes3cr3t",
        b'{"inline": {"text": "s3cr3t"}}',
        b"[]",
        b"null",
        b"[" * 100_000,
        b'[{"inline": {"text": "s3cr3t"}, "inline": {"text": "x"}}]',
        b'[{"inline": {"text": "x"}, "maxBytes": NaN}]',
        b'[{"inline": {"text": "x"}, "maxBytes": 1e3}]',
        b'[{"inline": {"text": "x"}, "maxBytes": 5.0}]',
        b'[{"inline": {"text": "\\ud800 s3cr3t"}}]',
        b'[{"inline": ["s3cr3t"]}]',
        b'["s3cr3t"]',
        b'[{"url": "https://s3cr3t"}]',
        b'[{"inline": {"text": "x"}}] s3cr3t',
        b'[{"inline": {"text": "x"}}]' + b" " * described.MAX_BYTES,
        b'[{"inline": {"text": "x"}, "maxBytes": 1' + b"0" * 5000 + b"}]",
    ],
)
def test_anything_else_is_refused_in_words_that_show_nothing(content: bytes) -> None:
    assert "s3cr3t" not in refusal(content)


TASK = LoaderTask("a", (), "", (), None, None, None, ())


def mounted(folder: Path, *contents: object) -> Path:
    for number, content in enumerate(contents):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "files.json").write_text(json.dumps(content))
    return folder


def test_secrets_fill_what_names_them(tmp_path: Path) -> None:
    public = Dataset("p", "", (File(inline="x"),))
    named = [Dataset(name, "", (), secret=name) for name in ("one", "two")]
    again = Dataset("again", "", (), secret="one")  # noqa: S106 - a name
    task = replace(TASK, datasets=(public, *named, again), algorithm_secret="three")  # noqa: S106 - a name
    folder = mounted(tmp_path, *([{"inline": {"text": text}}] for text in "123"))
    filled = with_described_files(task, folder)
    assert [dataset.files[0].inline for dataset in filled.datasets] == ["x", "1", "2", "1"]
    assert [file.inline for file in filled.algorithm_files] == ["3"]
    assert filled.secrets == ()


def test_a_secret_without_its_key_is_told_by_its_name(tmp_path: Path) -> None:
    dataset = replace(TASK, datasets=(Dataset("d", "", (), secret="one"),))  # noqa: S106 - a name
    with pytest.raises(PodError, match=r"dataset d: the Secret one has no key files\.json") as lost:
        with_described_files(dataset, tmp_path)
    assert lost.value.code == PodExit.DATASET_FAILED
    algorithm = replace(TASK, algorithm_secret="one")  # noqa: S106 - a name
    with pytest.raises(PodError, match="algorithm: the Secret one") as lost:
        with_described_files(algorithm, tmp_path)
    assert lost.value.code == PodExit.ALGORITHM_FAILED


def test_an_algorithm_has_fewer_files_than_a_dataset(tmp_path: Path) -> None:
    folder = mounted(tmp_path, [{"inline": {"text": ""}}] * 101)
    with_described_files(replace(TASK, datasets=(Dataset("d", "", (), secret="one"),)), folder)  # noqa: S106 - a name
    with pytest.raises(PodError, match="1 to 100"):
        with_described_files(replace(TASK, algorithm_secret="one"), folder)  # noqa: S106 - a name


def test_the_examples_have_every_field_of_a_file() -> None:
    body = {"spec": {"datasets": [{"source": {"files": examples_of_files()}}]}}
    for name, _ in fields(schema_of("ComputeJob")):
        if name.startswith(f"{FILES}[]"):
            value_at(body, name)
