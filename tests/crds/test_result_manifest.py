"""The manifest of a job's results, and keys in a store."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_api.results import (
    Manifest,
    ResultFile,
    admin_log_key,
    decode_manifest,
    digest,
    expiry,
    manifest_key,
    result_key,
)

ANY_TEXT = st.text(st.characters(codec=None), max_size=30)
FILE = st.builds(
    ResultFile,
    name=ANY_TEXT,
    type=st.sampled_from(["output", "algorithmLog"]),
    size=st.integers(0, 2**63 - 1),
    sha256=ANY_TEXT,
    key=ANY_TEXT,
)
MANIFEST = st.builds(
    Manifest,
    job=ANY_TEXT,
    namespace=ANY_TEXT,
    uid=ANY_TEXT,
    owner=st.none() | ANY_TEXT,
    viewers=st.lists(ANY_TEXT, max_size=3).map(tuple),
    outcome=ANY_TEXT,
    files=st.lists(FILE, max_size=3).map(tuple),
    skipped=st.lists(ANY_TEXT, max_size=3).map(tuple),
    expires=st.none() | ANY_TEXT,
    omitted=st.integers(0, 2**31),
)


@given(MANIFEST)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert decode_manifest(manifest.encode()) == manifest
    assert decode_manifest(manifest.encode()).encode() == manifest.encode()


@given(MANIFEST)
def test_a_manifest_is_ascii_json_whatever_files_are_called(manifest: Manifest) -> None:
    assert manifest.encode().isascii()
    assert json.loads(manifest.encode())["version"] == 1


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retention", "passed", "margin", "expired"),
    [
        pytest.param(None, 10**9, 0, False, id="without a retention they are kept for ever"),
        pytest.param(60, 59, 0, False, id="they are kept until their time is over"),
        pytest.param(60, 60, 0, True, id="they are not kept any longer"),
        pytest.param(60, 60, 300, False, id="a margin is waited for"),
        pytest.param(60, 360, 300, True, id="and not more than it"),
    ],
)
def test_results_expire(retention: int | None, passed: int, margin: int, expired: bool) -> None:
    manifest = Manifest(
        "job", "jobs", "uid", None, (), "Complete", (), expires=expiry(NOW, retention)
    )
    now = NOW + timedelta(seconds=passed)
    assert manifest.is_expired(now, timedelta(seconds=margin)) is expired
    assert decode_manifest(manifest.encode()) == manifest


def test_a_manifest_that_was_written_before_there_was_an_expiry_is_read() -> None:
    manifest = Manifest("job", "jobs", "uid", None, (), "Complete", ())
    assert b"expires" not in manifest.encode()
    assert decode_manifest(manifest.encode()).expires is None


def test_a_manifest_that_was_written_before_omissions_were_counted_is_read() -> None:
    manifest = Manifest("job", "jobs", "uid", None, (), "Complete", ())
    assert b"omitted" not in manifest.encode()
    assert decode_manifest(manifest.encode()).omitted == 0


@given(st.binary())
def test_a_digest_names_its_algorithm(data: bytes) -> None:
    assert digest(data) == "sha256:" + hashlib.sha256(data).hexdigest()


@given(st.uuids().map(str), st.integers(0, 99_999), st.integers(0, 99_999))
def test_keys_sort_as_their_numbers(uid: str, first: int, second: int) -> None:
    assert (result_key(uid, first) < result_key(uid, second)) == (first < second)


@given(st.uuids().map(str), st.integers(0, 10**7))
def test_keys_are_safe_and_apart(uid: str, index: int) -> None:
    keys = [
        manifest_key(uid),
        result_key(uid, index),
        admin_log_key(uid, "loading.log"),
        admin_log_key(uid, "publishing.log"),
    ]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert re.fullmatch(rf"{uid}/[a-z0-9./]+", key)
        assert ".." not in key
