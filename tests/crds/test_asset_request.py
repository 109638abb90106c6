"""What loader and provider say to each other arrives as it was meant, and nothing else is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_api.asset_request import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    AssetRequest,
    Denied,
    FileContent,
    FileOnRequest,
    FileRequest,
    Provided,
    ProvidedAsset,
    decode_denied,
    decode_provided,
    decode_request,
)

TEXT = st.text(max_size=20)
FILE = st.builds(
    FileRequest,
    url=TEXT,
    method=st.sampled_from(["GET", "POST"]),
    headers=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    body=st.binary(max_size=20),
    sha256=st.none() | st.text(min_size=1, max_size=20),
    content_id=st.none()
    | st.from_regex(r"ipfs:[A-Za-z0-9]{1,60}(/[!-~]{1,20})?", fullmatch=True)
    | st.from_regex(r"arweave:[A-Za-z0-9_-]{43}", fullmatch=True),
) | st.builds(FileContent, st.binary(max_size=20))
KIND = st.sampled_from(["dataset", "algorithm"])
ON_REQUEST = st.builds(FileOnRequest, KIND, st.integers(0, 64), st.integers(0, 999))
ASSET = st.builds(
    ProvidedAsset,
    position=st.integers(0, 64),
    kind=st.sampled_from(["dataset", "algorithm"]),
    files=st.lists(FILE | ON_REQUEST, min_size=1, max_size=3).map(tuple),
    ddo=st.none() | TEXT,
)


@given(st.builds(AssetRequest, TEXT, TEXT, st.integers(0, 2**40), st.none() | ON_REQUEST))
def test_a_request_arrives(request: AssetRequest) -> None:
    assert decode_request(request.encode()) == request


@given(st.lists(ASSET, max_size=3).map(tuple).map(Provided))
def test_an_answer_arrives(provided: Provided) -> None:
    assert decode_provided(provided.encode()) == provided


def test_the_answer_is_the_one_that_is_documented() -> None:
    files = (
        FileRequest("https://a.example/x", "POST", (("X-Key", "k"),), b"{}", "ab" * 32),
        FileRequest("https://a.example/y"),
        FileRequest("https://a.example/ipfs/bafy/x", content_id="ipfs:bafy/x"),
        FileContent(b"\x00\xff"),
        FileOnRequest("dataset", 1, 3),
    )
    provided = Provided((ProvidedAsset(1, "dataset", files, "{}"),))
    assert json.loads(provided.encode()) == {
        "assets": [
            {
                "position": 1,
                "kind": "dataset",
                "files": [
                    {
                        "request": {
                            "url": "https://a.example/x",
                            "method": "POST",
                            "headers": [["X-Key", "k"]],
                            "body": "e30=",
                        },
                        "sha256": "ab" * 32,
                    },
                    {
                        "request": {
                            "url": "https://a.example/y",
                            "method": "GET",
                            "headers": [],
                        }
                    },
                    {
                        "request": {
                            "url": "https://a.example/ipfs/bafy/x",
                            "method": "GET",
                            "headers": [],
                        },
                        "contentId": "ipfs:bafy/x",
                    },
                    {"inline": "AP8="},
                    {"onRequest": {"kind": "dataset", "position": 1, "number": 3}},
                ],
                "ddo": "{}",
            }
        ]
    }


def test_nothing_secret_is_shown() -> None:
    named = "ipfs:secret"
    files = (FileRequest("https://secret", "POST", (("a", "secret"),), b"secret", None, named),)
    shown = repr(
        Provided((ProvidedAsset(0, "dataset", (*files, FileContent(b"secret")), "secret"),))
    )
    assert "secret" not in shown


@pytest.mark.parametrize(
    "named",
    [
        "",
        "ipfs",
        "ipfs:",
        "ipfs:/x",
        "ipfs:ba fy",
        "ipfs:bafy/",
        "ipfs:bafy/a b",
        "ipfs:bafy/\u00e9",
        "arweave:" + "A" * 42,
        "arweave:" + "A" * 44,
        "arweave:" + "A" * 43 + "\n",
        "arweave:" + "A" * 42 + "=",
        "other:" + "A" * 43,
        1,
        [],
        {},
        False,
    ],
)
def test_a_name_of_content_that_is_not_known_is_not_taken_for_none(named: object) -> None:
    file = {"request": {"url": "https://a", "method": "GET", "headers": []}, "contentId": named}
    asset = {"position": 0, "kind": "dataset", "files": [file], "ddo": None}
    with pytest.raises(ValueError, match="no list of assets"):
        decode_provided(json.dumps({"assets": [asset]}).encode())
    del file["contentId"]
    (read,) = decode_provided(json.dumps({"assets": [asset]}).encode()).assets
    assert read.files == (FileRequest("https://a"),)


def test_an_asset_is_found_by_its_place() -> None:
    first, second, code = (
        ProvidedAsset(0, "dataset", (FileContent(b"0"),)),
        ProvidedAsset(1, "dataset", (FileContent(b"1"),)),
        ProvidedAsset(0, "algorithm", (FileContent(b"2"),)),
    )
    provided = Provided((second, code, first))
    assert provided.find("dataset", 0) is first
    assert provided.find("dataset", 1) is second
    assert provided.find("dataset", 2) is None
    assert provided.find("algorithm") is code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"namespace": 1, "job": "a", "attempt": 0}',
        b'{"namespace": "a", "job": ["a"], "attempt": 0}',
        b'{"namespace": "a", "job": "a", "attempt": true}',
        b'{"namespace": "a", "job": "a", "attempt": -1}',
        b'{"namespace": "a", "job": "a", "attempt": "0"}',
        b'{"namespace": "a", "job": "a", "attempt": 0, "file": 1}',
        b'{"namespace": "a", "job": "a", "attempt": 0, "file": {}}',
        b'{"namespace": "a", "job": "a", "attempt": 0,'
        b' "file": {"kind": "x", "position": 0, "number": 0}}',
        b'{"namespace": "a", "job": "a", "attempt": 0,'
        b' "file": {"kind": "dataset", "position": true, "number": 0}}',
        b'{"namespace": "a", "job": "a", "attempt": 0,'
        b' "file": {"kind": "dataset", "position": 0, "number": 1000}}',
        b'{"namespace": "a", "job": "a"}',
        b"\xff",
        b'{"namespace": "' + b"a" * MAX_REQUEST_BYTES + b'", "job": "a", "attempt": 0}',
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_request(body)


GOOD: dict[str, Any] = {
    "position": 0,
    "kind": "dataset",
    "files": [{"request": {"url": "https://a", "method": "GET", "headers": []}}],
    "ddo": None,
}


def _with_file(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "files": [{"request": {**GOOD["files"][0]["request"], **changes}}]}


@pytest.mark.parametrize(
    "asset",
    [
        pytest.param({**GOOD, "position": -1}, id="a place below the first"),
        pytest.param({**GOOD, "position": True}, id="a place that is no number"),
        pytest.param({**GOOD, "kind": "code"}, id="another kind"),
        pytest.param({**GOOD, "files": []}, id="no file"),
        pytest.param({**GOOD, "files": GOOD["files"] * 1001}, id="too many files"),
        pytest.param({**GOOD, "files": [{}]}, id="a file that is nowhere"),
        pytest.param({**GOOD, "files": [{"inline": "no base64!"}]}, id="content in no base64"),
        pytest.param({**GOOD, "files": [{"inline": 1}]}, id="content that is no text"),
        pytest.param({**GOOD, "ddo": {}}, id="a DDO that is no text"),
        pytest.param(_with_file(url=None), id="no URL"),
        pytest.param(_with_file(method="DELETE"), id="another method"),
        pytest.param(_with_file(headers=[["a"]]), id="half a header"),
        pytest.param(_with_file(headers=[["a", 1]]), id="a header that is no text"),
        pytest.param(_with_file(headers={"a": "b"}), id="headers by name"),
        pytest.param(_with_file(body=5), id="a body that is no text"),
        pytest.param({k: v for k, v in GOOD.items() if k != "files"}, id="files left out"),
        pytest.param("secret", id="a text"),
        pytest.param({**GOOD, "files": [{**GOOD["files"][0], "sha256": 5}]}, id="no digest"),
    ],
)
def test_what_is_no_answer_is_refused_without_its_words(asset: Any) -> None:
    assert decode_provided(json.dumps({"assets": [GOOD]}).encode()).assets
    with pytest.raises(ValueError, match="the answer is no list of assets") as refused:
        decode_provided(json.dumps({"assets": [asset]}).encode())
    assert refused.value.__suppress_context__


def test_an_answer_that_is_too_long_is_not_read() -> None:
    asset = {**GOOD, "ddo": "a" * MAX_ANSWER_BYTES}
    with pytest.raises(ValueError, match="no list of assets"):
        decode_provided(json.dumps({"assets": [asset]}).encode())


@pytest.mark.parametrize(
    ("body", "denied"),
    [
        (
            Denied("The order has expired.", "algorithm").encode(),
            Denied("The order has expired.", "algorithm"),
        ),
        (b'{"error": "no"}', Denied("no")),
        (b'{"error": "a\\nb\\u001b[31mc", "kind": "x"}', Denied("ab[31mc")),
        (b'{"error": "' + b"a" * 600 + b'"}', Denied("a" * 500)),
        (b"<html>secret</html>", Denied("")),
        (b"[]", Denied("")),
        (b"{}", Denied("")),
        (b'{"error": "' + b"a" * 5000 + b'"}', Denied("")),
    ],
)
def test_the_words_of_a_denial_can_be_shown(body: bytes, denied: Denied) -> None:
    assert decode_denied(body) == denied
