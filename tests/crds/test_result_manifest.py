"""The manifest of a job's results, and keys in a store."""

import hashlib
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from c2d_api.results import (
    Manifest,
    ResultFile,
    admin_log_key,
    decode_manifest,
    digest,
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
)


@given(MANIFEST)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert decode_manifest(manifest.encode()) == manifest
    assert decode_manifest(manifest.encode()).encode() == manifest.encode()


@given(MANIFEST)
def test_a_manifest_is_ascii_json_whatever_files_are_called(manifest: Manifest) -> None:
    assert manifest.encode().isascii()
    assert json.loads(manifest.encode())["version"] == 1


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
