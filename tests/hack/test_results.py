"""Names that an algorithm chose become paths below one folder, and never steer a terminal."""

from pathlib import Path, PurePosixPath

import pytest
from obstore.store import LocalStore

from c2d_api.results import Manifest, ResultFile, manifest_key
from results import Results, ResultsError, placed, printable, safe_path


def files(*names: str) -> list[ResultFile]:
    return [ResultFile(name, "output", 1, "0" * 64, f"uid/results/{name}") for name in names]


def places(*names: str) -> list[str]:
    return [str(path) for _, path in placed(files(*names))]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "x" * 256,
        "\x01" * 600 + "/a",
    ],
)
def test_a_name_that_is_no_path_below_a_folder_is_refused(name: str) -> None:
    assert safe_path(name) is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("report.txt", "report.txt"),
        ("deep/er/file", "deep/er/file"),
        ("two words", "two words"),
        ("größe", "größe"),
        ("..hidden", "..hidden"),
        ("line\nbreak", "line\\nbreak"),
        ("\x1b[2Jclear", "\\x1b[2Jclear"),
        ("bidi\u202etxt.exe", "bidi\\u202etxt.exe"),
    ],
)
def test_any_other_name_is_kept_with_its_control_characters_escaped(name: str, path: str) -> None:
    assert safe_path(name) == PurePosixPath(path)
    assert printable(path) == path


def test_files_without_a_usable_name_are_named_by_their_number() -> None:
    assert places("a", "../b", "/c") == ["a", "00001", "00002"]


def test_no_file_takes_the_place_of_another() -> None:
    assert places("algorithm.log", "algorithm.log") == ["algorithm.log", "00001"]
    assert places("00001", "00001") == ["00001", "00001~"]
    assert places("00002", "00002~", "..") == ["00002", "00002~", "00002~~"]


def test_names_that_some_file_systems_do_not_tell_apart_get_places_apart() -> None:
    assert places("A", "a", "\u00e9", "e\u0301", "stra\u00dfe", "STRASSE") == [
        "A",
        "00001",
        "\u00e9",
        "00003",
        "stra\u00dfe",
        "00005",
    ]
    assert places("A", "a/b") == ["A", "00001"]
    assert places("A/b", "a") == ["A/b", "00001"]


def test_ten_thousand_files_have_ten_thousand_places() -> None:
    names = [f"{number % 100}/{number}" for number in range(10_000)]
    assert places(*names) == names


def test_a_file_is_never_a_folder_of_another() -> None:
    assert places("a", "a/b") == ["a", "00001"]
    assert places("a/b", "a") == ["a/b", "00001"]


def results_with(folder: Path, expires: str | None) -> Results:
    manifest = Manifest("job", "jobs", "uid", None, (), "Complete", (), expires=expires)
    (folder / "uid").mkdir()
    (folder / manifest_key("uid")).write_bytes(manifest.encode())
    return Results(LocalStore(folder), "uid")


@pytest.mark.parametrize("expires", [None, "2999-01-01T00:00:00Z"])
def test_results_are_there_until_they_expire(tmp_path: Path, expires: str | None) -> None:
    assert results_with(tmp_path, expires).manifest(None).expires == expires


def test_expired_results_are_said_to_have_expired(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="expired: they were kept until 2026-01-01T00:00:00Z"):
        results_with(tmp_path, "2026-01-01T00:00:00Z").manifest(None)


def test_removed_results_are_said_to_be_gone(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="not in their store any more"):
        Results(LocalStore(tmp_path), "uid").manifest(None)
