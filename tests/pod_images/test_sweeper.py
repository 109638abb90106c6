"""The whole sweeper as a process, over a store in a folder."""

import os
from pathlib import Path

import pytest

from c2d_api.results import MANIFEST
from c2d_pods.folder import Folder
from sweeping import FILES, FUTURE, PAST, manifest, run, uid_of

EXPIRED, KEPT, FOREVER, OLD, YOUNG = (uid_of(number) for number in range(1, 6))


def put(root: Path, uid: str, expires: str | None = None, *, has_manifest: bool = True) -> Path:
    folder = root / uid
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"abc")
    if has_manifest:
        (folder / MANIFEST).write_bytes(manifest(uid, expires))
    return folder


def age(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a store"
    put(root, EXPIRED, PAST)
    put(root, KEPT, FUTURE)
    put(root, FOREVER)
    age(put(root, OLD, has_manifest=False))
    put(root, YOUNG, has_manifest=False)
    age(put(root, "backups", has_manifest=False))
    return root


def url(root: Path) -> str:
    return root.as_uri()


def test_expired_results_and_old_leftovers_go_and_nothing_else_does(root: Path) -> None:
    code, lines = run("--store", url(root))
    assert code == 0
    assert {path.name for path in root.iterdir()} == {KEPT, FOREVER, YOUNG, "backups"}
    told = {line.pop("removed"): line for line in lines}
    size = 9 + len(manifest(EXPIRED, PAST))
    assert told == {
        EXPIRED: {
            "because": "expired",
            "job": "job",
            "namespace": "jobs",
            "expires": PAST,
            "objects": 4,
            "bytes": size,
            "foreign": 0,
        },
        OLD: {"because": "leftOver", "objects": 3, "bytes": 9, "foreign": 0},
    }
    assert run("--store", url(root)) == (0, [])


def test_a_dry_run_tells_the_same_and_removes_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    code, lines = run("--store", url(root), "--dry-run")
    assert (code, sorted(root.rglob("*"))) == (0, before)
    would = {line.pop("wouldRemove"): line for line in lines}
    assert would == {line.pop("removed"): line for line in run("--store", url(root))[1]}


def test_one_job_that_fails_stops_no_other_and_is_told(root: Path, tmp_path: Path) -> None:
    (root / KEPT / MANIFEST).write_bytes(b"{")
    (tmp_path / "elsewhere").write_bytes(manifest(FOREVER, PAST))
    (root / FOREVER / MANIFEST).unlink()
    (root / FOREVER / MANIFEST).symlink_to(tmp_path / "elsewhere")
    code, lines = run("--store", url(root))
    assert code == 1
    failed = {line["failed"]: line["error"] for line in lines if "failed" in line}
    assert failed.keys() == {KEPT, FOREVER}
    assert failed[KEPT] == "the manifest cannot be read"
    assert not (root / EXPIRED).exists()
    assert (root / KEPT / "results/00000").exists()
    assert (root / FOREVER / "results/00000").exists()


def test_links_lead_nowhere(root: Path, tmp_path: Path) -> None:
    outside = put(tmp_path, "outside")
    age(outside)
    (root / EXPIRED / "results/00000").unlink()
    (root / EXPIRED / "results/00000").symlink_to(outside / "results/00000")
    os.rename(root / EXPIRED / "adminlogs", tmp_path / "logs")
    (root / EXPIRED / "adminlogs").symlink_to(outside / "adminlogs")
    (root / uid_of(9)).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    code, lines = run("--store", url(root))
    assert (code, sorted(outside.rglob("*"))) == (0, before)
    assert {line["removed"]: line["foreign"] for line in lines} == {EXPIRED: 1, OLD: 0}
    assert [path.name for path in (root / EXPIRED).iterdir()] == ["adminlogs"]
    assert (root / uid_of(9)).is_symlink()


@pytest.mark.parametrize("linked", ["", "adminlogs"])
def test_a_link_that_appears_in_the_meantime_is_not_followed(
    root: Path, tmp_path: Path, linked: str
) -> None:
    outside = put(tmp_path, "outside")
    target = root / EXPIRED / linked
    os.rename(target, tmp_path / "moved")
    target.symlink_to(outside / linked)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        Folder(root).remove(EXPIRED, ["adminlogs/publishing.log"])
    assert (outside / "adminlogs/publishing.log").exists()


def test_what_a_crashed_upload_left_half_written_goes_too(root: Path) -> None:
    (root / EXPIRED / "results/00002#1").write_bytes(b"half")
    assert run("--store", url(root))[0] == 0
    assert not (root / EXPIRED).exists()


def test_a_manifest_without_files_goes(root: Path) -> None:
    folder = root / uid_of(7)
    folder.mkdir()
    (folder / MANIFEST).write_bytes(manifest(uid_of(7), PAST))
    assert run("--store", url(root))[0] == 0
    assert not folder.exists()


def test_clocks_may_differ_by_the_margin(root: Path) -> None:
    century = 100 * 365 * 24 * 3600
    code, lines = run("--store", url(root), "--margin", century, "--leftover-age", century)
    assert (code, lines) == (0, [])
    code, lines = run("--store", url(root), "--margin", "0", "--leftover-age", "0")
    assert {line["removed"] for line in lines} == {EXPIRED, OLD, YOUNG}


def test_a_folder_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    assert run("--store", url(tmp_path / "later")) == (0, [])


@pytest.mark.parametrize("store", ["ftp://x/", "file://claim/folder", "results"])
def test_a_store_that_is_not_known_is_an_error(store: str) -> None:
    code, (line,) = run("--store", store)
    assert code == 1
    assert "must begin with s3://" in line["error"]
