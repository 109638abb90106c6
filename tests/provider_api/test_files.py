"""Files of a service: read, bound to their asset, and never told to anybody."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordings
from c2d_provider.files import (
    MAX_FILES,
    ArweaveFile,
    FileObject,
    GraphqlFile,
    IpfsFile,
    S3File,
    SmartContractFile,
    UrlFile,
    parse,
    parse_file,
)
from c2d_provider.refusals import Reason, Refused

NFT = "0x8aCd85898458400f7Db866d53FCFF6f0D49741FF"
DATATOKEN = "0xe082b26cEf079a095147F35c9647eC97c2401B83"
OTHER = "0x0Db1D0Cfcba97F7dc5AF76cfEC1a646c33cD9297"
SECRET = "s3cr3t"  # noqa: S105 - to be looked for in messages
URL = f"https://user:{SECRET}@data.example/{SECRET}?token={SECRET}"
CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
ABI = {"type": "function", "name": "get", "stateMutability": "view", "inputs": []}
S3 = {
    "endpoint": "https://s3.example",
    "bucket": "data",
    "objectKey": "a/b",
    "accessKeyId": "id",
    "secretAccessKey": SECRET,
}


def document(*listed: Any, **changes: Any) -> bytes:
    body = {"nftAddress": NFT, "datatokenAddress": DATATOKEN, "files": list(listed), **changes}
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param({"type": "url", "url": URL}, UrlFile(URL, "GET", ()), id="a URL"),
        pytest.param({"url": URL}, UrlFile(URL, "GET", ()), id="a URL without a type"),
        pytest.param(
            {"type": "url", "url": URL, "method": "post", "headers": {"A": "b"}},
            UrlFile(URL, "POST", (("A", "b"),)),
            id="a POST with a header",
        ),
        pytest.param(
            {"type": "url", "url": URL, "headers": [{"A": "b"}, {"C": "d"}]},
            UrlFile(URL, "GET", (("A", "b"), ("C", "d"))),
            id="headers in a list",
        ),
        pytest.param({"type": "ipfs", "hash": CID}, IpfsFile(CID, ()), id="IPFS"),
        pytest.param(
            {"type": "ipfs", "hash": f"{CID}/a/b.csv"}, IpfsFile(f"{CID}/a/b.csv", ()), id="a path"
        ),
        pytest.param(
            {"type": "arweave", "transactionId": "a" * 43}, ArweaveFile("a" * 43, ()), id="Arweave"
        ),
        pytest.param(
            {"type": "graphql", "url": URL, "query": "{ a }"},
            GraphqlFile(URL, "{ a }", ()),
            id="GraphQL",
        ),
        pytest.param(
            {"type": "smartcontract", "address": OTHER.lower(), "chainId": 1, "abi": ABI},
            SmartContractFile(OTHER, 1, ABI),
            id="a contract",
        ),
        pytest.param(
            {"type": "s3", "s3Access": S3},
            S3File("https://s3.example", "", "data", "a/b", "id", SECRET),
            id="S3",
        ),
    ],
)
def test_a_file_object_is_read(entry: Any, expected: FileObject) -> None:
    assert parse(document(entry), NFT.lower(), DATATOKEN) == (expected,)
    assert SECRET not in repr(expected)


def test_what_clients_encrypt_is_read() -> None:
    """The body that ocean.js and ocean.py sent to be encrypted (recorded requests)."""
    sent = {
        "datatokenAddress": DATATOKEN,
        "nftAddress": NFT,
        "files": [{"type": "url", "url": "http://127.0.0.1:9999/d"}],
    }
    assert len(parse(json.dumps(sent).encode(), NFT, DATATOKEN)) == 1
    assert recordings.ddos()[0]["ddo"]["nftAddress"] == NFT


FILE = {"type": "url", "url": URL}


@pytest.mark.parametrize(
    ("decrypted", "reason"),
    [
        pytest.param(document(FILE, nftAddress=OTHER), "other", id="copied into another NFT"),
        pytest.param(
            document(FILE, datatokenAddress=OTHER), "other", id="copied to another datatoken"
        ),
        pytest.param(
            document(FILE, nftAddress=DATATOKEN, datatokenAddress=NFT), "other", id="swapped"
        ),
        pytest.param(document(FILE, nftAddress=None), "other", id="bound to no NFT"),
        pytest.param(document(FILE, nftAddress=[NFT]), "other", id="bound to a list"),
        pytest.param(json.dumps([FILE]).encode(), "malformed", id="a bare list, bound to nothing"),
        pytest.param(b"", "malformed", id="nothing"),
        pytest.param(b"\x80", "malformed", id="no text"),
        pytest.param(
            document(FILE).replace(b'"nftAddress"', b'"nftAddress": "x", "nftAddress"'),
            "malformed",
            id="two NFTs",
        ),
        pytest.param(document(), "malformed", id="no files"),
        pytest.param(document(files=FILE), "malformed", id="files that are no list"),
        pytest.param(document(*[FILE] * (MAX_FILES + 1)), "malformed", id="too many files"),
    ],
)
def test_a_list_of_files_that_is_refused(decrypted: bytes, reason: str) -> None:
    expected = Reason.FILES_OF_OTHER_ASSET if reason == "other" else Reason.FILES_MALFORMED
    with pytest.raises(Refused) as refused:
        parse(decrypted, NFT, DATATOKEN)
    assert refused.value.refusal.reason == expected
    assert SECRET not in str(refused.value)


def url(address: str) -> dict[str, str]:
    return {"type": "url", "url": address}


def header(name: str, value: Any = "x") -> dict[str, Any]:
    return {**FILE, "headers": {name: value}}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(None, id="none"),
        pytest.param(URL, id="text"),
        pytest.param({}, id="empty"),
        pytest.param({"type": "ftp", "url": URL}, id="FTP"),
        pytest.param({"type": ["url"], "url": URL}, id="a type that is a list"),
        pytest.param(url(""), id="no URL"),
        pytest.param(url(f"file:///etc/{SECRET}"), id="a local file"),
        pytest.param(url(f"gopher://{SECRET}/"), id="another scheme"),
        pytest.param(url(f"//data.example/{SECRET}"), id="no scheme"),
        pytest.param(url(f"https:///{SECRET}"), id="no host"),
        pytest.param(url(f"https://[{SECRET}/"), id="a broken host"),
        pytest.param(url(f"https://a:99999/{SECRET}"), id="an impossible port"),
        pytest.param(url(f"https://a/{SECRET}\r\nX: y"), id="a second line"),
        pytest.param(url(f"https://a\\@b/{SECRET}"), id="a backslash"),
        pytest.param(url(f"https://a/{SECRET} b"), id="a space"),
        pytest.param(url(f"https://a/{SECRET}" * 999), id="endless"),
        pytest.param({**FILE, "url": [URL]}, id="a URL that is a list"),
        pytest.param({**FILE, "method": "delete"}, id="another method"),
        pytest.param({**FILE, "method": {"get": 1}}, id="a method that is an object"),
        pytest.param(header("Host"), id="another host"),
        pytest.param(header("transfer-ENCODING", "chunked"), id="another framing"),
        pytest.param(header("Content-Length", "0"), id="another length"),
        pytest.param(header("Proxy-Authorization"), id="for a proxy"),
        pytest.param(header("A\r\nB"), id="a header with a second line"),
        pytest.param(header("A", f"{SECRET}\r\nB: c"), id="a value with a second line"),
        pytest.param(header("A", "\u010d\u010a"), id="a value that becomes a line in latin-1"),
        pytest.param(header("A", 1), id="a value that is a number"),
        pytest.param({**FILE, "headers": "A: b"}, id="headers that are text"),
        pytest.param({**FILE, "headers": [{f"A{n}": "b"} for n in range(65)]}, id="many headers"),
        pytest.param({"type": "ipfs", "hash": f"{CID}/../{SECRET}"}, id="a path upwards"),
        pytest.param({"type": "ipfs", "hash": f"{CID}?a={SECRET}"}, id="a query behind a hash"),
        pytest.param({"type": "ipfs", "hash": "short"}, id="no hash"),
        pytest.param({"type": "arweave"}, id="no transaction"),
        pytest.param({"type": "arweave", "transactionId": "../" + "a" * 40}, id="no id"),
        pytest.param({"type": "graphql", "query": "{a}"}, id="GraphQL without an endpoint"),
        pytest.param({"type": "graphql", "url": URL}, id="GraphQL without a query"),
        pytest.param({"type": "smartcontract", "chainId": 1, "abi": ABI}, id="no contract"),
        pytest.param(
            {"type": "smartcontract", "address": OTHER, "chainId": "1", "abi": ABI},
            id="a chain id that is text",
        ),
        pytest.param(
            {"type": "smartcontract", "address": OTHER, "chainId": 1, "abi": [ABI]},
            id="several functions",
        ),
        pytest.param(
            {
                "type": "smartcontract",
                "address": OTHER,
                "chainId": 1,
                "abi": {**ABI, "stateMutability": "payable"},
            },
            id="a function that writes",
        ),
        pytest.param({"type": "s3", "s3Access": {**S3, "bucket": "../x"}}, id="no bucket"),
        pytest.param({"type": "s3", "s3Access": {**S3, "endpoint": "file:///x"}}, id="no server"),
        pytest.param({"type": "s3", "s3Access": {**S3, "secretAccessKey": ""}}, id="no key"),
        pytest.param({"type": "s3"}, id="S3 without access"),
    ],
)
def test_a_file_object_that_is_refused_without_a_word_of_it(entry: Any) -> None:
    with pytest.raises(Refused) as refused:
        parse(document(entry), NFT, DATATOKEN)
    assert refused.value.refusal.reason == Reason.FILES_MALFORMED
    assert SECRET not in str(refused.value)


@given(
    st.dictionaries(
        st.sampled_from(["type", "url", "method", "headers", "hash", "abi", "address", "s3Access"]),
        st.none() | st.text(max_size=9) | st.integers() | st.lists(st.text(max_size=3), max_size=2),
    )
)
def test_no_file_object_makes_it_fail(entry: dict[str, Any]) -> None:
    try:
        found = parse_file(entry)
    except Refused:
        return
    assert found
