"""Requests of provider v2: what clients sent is read, what nobody should send is rejected."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordings
from c2d_provider.asked import PublishedAsked, RawAsked
from c2d_provider.ddo import Container
from c2d_provider.files import UrlFile
from c2d_provider.wire import v2_requests as v2
from c2d_provider.wire.v2_answers import Rejected

CONSUMER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
DATASET = "did:op:5596a837c68a80a781220447646381af05f82d7062e47727da68c6409caecc8d"
ALGORITHM = "did:op:1b1e94cca5b84473bc2e4b47bd5c8c8d64acb43e0ae32e610a89854d867db87d"
JOB = "0123456789abcdef0123456789abcdef"
ORDER = "0x" + "aa" * 32
SIGNATURE = "0x" + "11" * 65

RECORDED = [
    entry
    for entry in recordings.requests()
    if entry["path"].startswith("/v2/") and not entry["path"].endswith("/computeEnvironments")
]
PARSERS: dict[tuple[str, str], Any] = {
    ("GET", "nonce"): v2.parse_nonce,
    ("POST", "fileinfo"): v2.parse_file_info,
    ("POST", "initializeCompute"): v2.parse_initialize_compute,
    ("POST", "compute"): v2.parse_start,
    ("PUT", "compute"): v2.parse_job_asked,
    ("GET", "compute"): v2.parse_status,
    ("GET", "computeResult"): v2.parse_result,
}


@pytest.mark.parametrize("entry", RECORDED, ids=recordings.title)
def test_what_clients_sent_is_read(entry: recordings.Json) -> None:
    key = entry["method"], entry["path"].rsplit("/", 1)[-1]
    body = json.dumps(entry["body"]).encode() if entry["body"] else b""
    sent = v2.sent_parameters(entry["query"].items(), body)
    found = PARSERS[key](sent)
    asked = {**entry["query"], **entry["body"]}
    if "jobId" in asked:
        assert found.job_id == asked["jobId"]
    if "signature" in asked and key != ("GET", "compute"):
        assert found.authorization.signature == asked["signature"]
        assert found.authorization.nonce.text == str(asked["nonce"])
        assert found.authorization.address == asked["consumerAddress"]


def test_the_start_that_ocean_py_sent_is_read_in_full() -> None:
    (entry,) = (
        e
        for e in RECORDED
        if e["client"] == "oceanpy-3.1.2"
        and e["method"] == "POST"
        and e["path"].endswith("/compute")
    )
    start = v2.parse_start(entry["body"])
    assert [(one.document_id, one.service_id) for one in start.datasets] == [(DATASET, "1")]
    assert start.datasets[0].transaction == (
        "0x5c9af14982a2e7dd6a99748bd14468f2669bc83312ca9ec7ac87f772eb44a255"
    )
    assert isinstance(start.algorithm, PublishedAsked)
    assert start.algorithm.asset.document_id == ALGORITHM
    assert start.algorithm.custom_data == {"k": "v"}
    assert start.environment == "ocean-compute"


def asset(**changes: Any) -> dict[str, Any]:
    return {"documentId": DATASET, "serviceId": "1", "transferTxId": ORDER, **changes}


def start(**changes: Any) -> dict[str, Any]:
    body = {
        "consumerAddress": CONSUMER,
        "nonce": "5",
        "signature": SIGNATURE,
        "environment": "jobs.small",
        "dataset": asset(),
        "algorithm": asset(documentId=ALGORITHM),
        **changes,
    }
    return {key: value for key, value in body.items() if value != "absent"}


CONTAINER = {"image": "i", "tag": "t", "checksum": "sha256:1", "entrypoint": "e"}


def raw(**changes: Any) -> dict[str, Any]:
    return {"meta": {"rawcode": "print(1)", "url": "", "container": CONTAINER, **changes}}


def test_further_datasets_are_read_under_either_name() -> None:
    for name in ("additionalDatasets", "additionalInputs"):
        found = v2.parse_start(start(**{name: [asset(serviceId="2", userdata='{"a":1}')]}))
        assert [one.service_id for one in found.datasets] == ["1", "2"]
        assert found.datasets[1].user_data == {"a": 1}


def test_raw_code_is_read() -> None:
    """As ocean.py writes it: the address of the code is there and empty."""
    found = v2.parse_start(start(algorithm={**raw(), "algocustomdata": {"a": [1]}})).algorithm
    container = Container("i", "t", "sha256:1", "e")
    assert found == RawAsked(container, "print(1)", None, {"a": [1]})


def test_an_algorithm_behind_a_url_is_read() -> None:
    found = v2.parse_start(start(algorithm=raw(rawcode="", url="https://a.example"))).algorithm
    assert isinstance(found, RawAsked)
    assert found.file == UrlFile("https://a.example", "GET", ())


def test_what_a_published_algorithm_runs_in_is_not_the_requests_to_say() -> None:
    both = {**asset(documentId=ALGORITHM), **raw()}
    found = v2.parse_start(start(algorithm=both)).algorithm
    assert isinstance(found, PublishedAsked)


def test_a_token_stands_for_the_signature() -> None:
    sent = start(signature="absent")
    assert v2.parse_start(sent, has_token=True).authorization.signature == ""
    with pytest.raises(Rejected):
        v2.parse_start(sent)


def required(*names: str) -> dict[str, Any]:
    return {
        "success": False,
        "message": "Validation error",
        "errors": {name: [f"The {name} field is required."] for name in names},
    }


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        pytest.param({}, required("dataset", "algorithm", "environment"), id="nothing"),
        pytest.param(start(nonce="absent"), required("nonce"), id="no nonce"),
        pytest.param(
            start(signature="", consumerAddress=None),
            required("consumerAddress", "signature"),
            id="empty fields",
        ),
        pytest.param(
            start(dataset="x"),
            {"error": {"dataset.documentId": "missing"}},
            id="a text for a dataset",
        ),
        pytest.param(
            start(dataset=asset(documentId="")),
            {"error": {"dataset.documentId": "missing"}},
            id="a dataset without a DID",
        ),
        pytest.param(
            start(dataset=asset(documentId="did:op:1")),
            {"error": {"dataset.documentId": "did_not_found"}},
            id="no DID",
        ),
        pytest.param(
            start(dataset=asset(documentId=DATASET.upper())),
            {"error": {"dataset.documentId": "did_not_found"}},
            id="a DID in upper case",
        ),
        pytest.param(
            start(dataset=asset(serviceId=None)),
            {"error": {"dataset.serviceId": "missing"}},
            id="a dataset without a service",
        ),
        pytest.param(
            start(dataset=asset(transferTxId="")),
            {"error": {"dataset.transferTxId": "missing"}},
            id="a dataset without an order",
        ),
        pytest.param(
            start(additionalDatasets=[asset(), asset(serviceId="")]),
            {"error": {"datasets[2].serviceId": "missing"}},
            id="the third dataset without a service",
        ),
        pytest.param(
            start(additionalDatasets={"0": asset()}),
            {"error": {"additional_input": "invalid"}},
            id="further datasets in an object",
        ),
        pytest.param(
            start(additionalDatasets=[asset()] * 64),
            {"error": {"additional_input": "invalid"}},
            id="too many datasets",
        ),
        pytest.param(
            start(algorithm={"serviceId": "1"}),
            {"error": {"algorithm": "missing_meta_documentId"}},
            id="no algorithm",
        ),
        pytest.param(
            start(algorithm={"meta": "x"}),
            {"error": {"algorithm": "missing_meta_documentId"}},
            id="an algorithm that is text",
        ),
        pytest.param(
            start(algorithm=asset(documentId=ALGORITHM, serviceId="")),
            {"error": {"algorithm.serviceId": "missing"}},
            id="an algorithm without a service",
        ),
        pytest.param(
            start(algorithm=raw(rawcode="")),
            {"error": {"algorithm": "meta_oneof_url_rawcode_remote"}},
            id="no code",
        ),
        pytest.param(
            start(algorithm=raw(url="https://a.example")),
            {"error": {"algorithm": "meta_oneof_url_rawcode_remote"}},
            id="code twice",
        ),
        pytest.param(
            start(algorithm=raw(container="python")),
            {"error": {"algorithm.container": "missing_entrypoint_image_checksum"}},
            id="a container that is text",
        ),
        pytest.param(start(output="{"), {"error": {"output": "invalid"}}, id="broken output"),
    ],
)
def test_a_start_is_rejected_in_the_words_of_provider_v2(sent: Any, body: Any) -> None:
    with pytest.raises(Rejected) as rejected:
        v2.parse_start(sent)
    assert rejected.value.answer.status == 400
    assert rejected.value.answer.body == body


URL = "https://user:s3cr3t@a.example"


@pytest.mark.parametrize(
    ("parse", "sent"),
    [
        pytest.param(v2.parse_start, start(nonce=1.5), id="a nonce that is a float"),
        pytest.param(v2.parse_start, start(nonce="1e3"), id="a nonce with an exponent"),
        pytest.param(v2.parse_start, start(nonce=["1"]), id="a nonce that is a list"),
        pytest.param(v2.parse_start, start(consumerAddress="0x12"), id="no address"),
        pytest.param(v2.parse_start, start(consumerAddress=[CONSUMER]), id="a list of addresses"),
        pytest.param(v2.parse_start, start(signature=7), id="a signature that is a number"),
        pytest.param(v2.parse_start, start(environment={"a": 1}), id="an environment, an object"),
        pytest.param(v2.parse_start, start(dataset=asset(transferTxId="0x12")), id="no hash"),
        pytest.param(
            v2.parse_start, start(dataset=asset(transferTxId=[ORDER])), id="a hash in a list"
        ),
        pytest.param(v2.parse_start, start(dataset=asset(userdata="[1]")), id="user data, a list"),
        pytest.param(
            v2.parse_start, start(algorithm={**raw(), "algocustomdata": 1}), id="data, a number"
        ),
        pytest.param(v2.parse_start, start(algorithm=raw(rawcode=["x"])), id="code in a list"),
        pytest.param(v2.parse_start, start(algorithm=raw(rawcode="x" * 600_000)), id="much code"),
        pytest.param(
            v2.parse_start, start(algorithm=raw(rawcode="", url=f"file:{URL}")), id="a local file"
        ),
        pytest.param(
            v2.parse_job_asked,
            {"consumerAddress": CONSUMER, "nonce": "1", "signature": SIGNATURE},
            id="a stop of all jobs",
        ),
        pytest.param(
            v2.parse_job_asked,
            {"consumerAddress": CONSUMER, "nonce": "1", "signature": SIGNATURE, "jobId": "14"},
            id="a stop of what is no job",
        ),
        pytest.param(
            v2.parse_job_asked,
            {
                "consumerAddress": CONSUMER,
                "nonce": "1",
                "signature": SIGNATURE,
                "jobId": JOB,
                "documentId": "0",
            },
            id="a stop with what is no DID",
        ),
        pytest.param(v2.parse_status, {}, id="the status of nobody"),
        pytest.param(
            v2.parse_status, {"consumerAddress": CONSUMER, "jobId": {"$ne": ""}}, id="an operator"
        ),
        *(
            pytest.param(
                v2.parse_result,
                {
                    "consumerAddress": CONSUMER,
                    "nonce": "1",
                    "signature": SIGNATURE,
                    "jobId": JOB,
                    "index": index,
                },
                id=f"the result {index!r}",
            )
            for index in ("-1", -1, "01", "1.0", 1.0, True, "", None, "9" * 10, "\u0661", [0])
        ),
        pytest.param(
            v2.parse_initialize_compute,
            {
                "datasets": {},
                "algorithm": raw(),
                "compute": {"env": "e", "validUntil": 1},
                "consumerAddress": CONSUMER,
            },
            id="datasets that are no list",
        ),
        pytest.param(
            v2.parse_initialize_compute,
            {
                "datasets": [asset()],
                "algorithm": raw(),
                "compute": {"env": "e", "validUntil": 1e10},
                "consumerAddress": CONSUMER,
            },
            id="an end that is a float",
        ),
        pytest.param(
            v2.parse_initialize_compute,
            {
                "datasets": [asset()],
                "algorithm": raw(),
                "compute": "ocean-compute",
                "consumerAddress": CONSUMER,
            },
            id="compute that is text",
        ),
        pytest.param(v2.parse_file_info, {}, id="no file"),
        pytest.param(v2.parse_file_info, {"type": "url", "url": f"ftp:{URL}"}, id="no such file"),
        pytest.param(v2.parse_file_info, {"did": "x", "serviceId": "1"}, id="a file of no asset"),
        pytest.param(
            v2.parse_create_token,
            {"address": CONSUMER, "nonce": "1", "signature": SIGNATURE, "expiration": "soon"},
            id="an expiration that is no time",
        ),
        pytest.param(v2.parse_nonce, {"userAddress": "x"}, id="the nonce of nobody"),
    ],
)
def test_a_request_is_rejected(parse: Any, sent: Any) -> None:
    with pytest.raises(Rejected) as rejected:
        parse(sent)
    assert rejected.value.answer.status == 400
    assert "s3cr3t" not in json.dumps(rejected.value.answer.body)


@pytest.mark.parametrize("index", ["0", 0, "12"])
def test_a_result_is_asked_for_by_its_index(index: object) -> None:
    sent = {
        "consumerAddress": CONSUMER,
        "nonce": "1",
        "signature": SIGNATURE,
        "jobId": f"0x{'0' * 64}-{JOB}",
        "index": index,
    }
    assert v2.parse_result(sent).index == int(str(index))


def test_the_other_requests_are_read() -> None:
    signed = {"nonce": "1", "signature": SIGNATURE}
    asked = {**asset(), "consumerAddress": CONSUMER, "fileIndex": "2"}
    assert v2.parse_download({**asked, **signed}).file_index == 2
    assert v2.parse_initialize(asked).file_index == 2
    assert v2.parse_initialize({**asked, "fileIndex": ""}).file_index is None
    token = {**signed, "address": CONSUMER}
    assert v2.parse_create_token({**token, "expiration": "1800000000"}).expiration == 1_800_000_000
    assert v2.parse_delete_token({**token, "token": "a.b.c"}).token == "a.b.c"  # noqa: S105 - none
    info = v2.parse_file_info({"type": "url", "url": "https://a.example", "checksum": 1})
    assert info.file == UrlFile("https://a.example", "GET", ())
    assert info.checksum


NFT = "0x8aCd85898458400f7Db866d53FCFF6f0D49741FF"
DECRYPT = {
    "decrypterAddress": CONSUMER,
    "chainId": 8996,
    "dataNftAddress": NFT.lower(),
    "nonce": "1",
    "signature": SIGNATURE,
}
DOCUMENT = {"encryptedDocument": "0x1234", "flags": "0x02", "documentHash": ORDER}


def test_a_ddo_is_decrypted_by_its_transaction_or_as_it_is_sent() -> None:
    by_transaction = v2.parse_decrypt({**DECRYPT, "transactionId": ORDER.upper().replace("X", "x")})
    assert (by_transaction.transaction, by_transaction.document) == (ORDER, None)
    assert by_transaction.signed == ORDER.upper().replace("X", "x")
    by_itself = v2.parse_decrypt({**DECRYPT, **DOCUMENT})
    assert by_itself.document == v2.Document(b"\x12\x34", 2, ORDER)
    assert by_itself.signed == NFT.lower()


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        pytest.param({"transactionId": "0x12"}, "Failed to process transaction id.", id="no hash"),
        pytest.param(
            {**DOCUMENT, "encryptedDocument": "0xg"},
            "Failed to convert input args to bytes.",
            id="no hexadecimal",
        ),
        pytest.param(
            {**DOCUMENT, "flags": "0x0202"},
            "Failed to convert input args to bytes.",
            id="two flags",
        ),
        pytest.param(
            {**DOCUMENT, "documentHash": "0x12"},
            "Failed to convert input args to bytes.",
            id="no hash of the document",
        ),
    ],
)
def test_what_cannot_be_decrypted(sent: Any, error: str) -> None:
    with pytest.raises(Rejected) as rejected:
        v2.parse_decrypt({**DECRYPT, **sent})
    assert rejected.value.answer.body == {"error": error}


@pytest.mark.parametrize(
    ("sent", "content_type", "error"),
    [
        pytest.param(
            {"chainId": "1"},
            "application/json",
            "Invalid request content type: should be application/octet-stream",
            id="another content type",
        ),
        pytest.param(
            {}, "application/octet-stream", "Missing chainId query parameter.", id="no chain"
        ),
    ],
)
def test_what_cannot_be_encrypted(sent: Any, content_type: str, error: str) -> None:
    with pytest.raises(Rejected) as rejected:
        v2.parse_encrypt(sent, content_type)
    assert rejected.value.answer.body == {"error": error}


def test_a_chain_is_read() -> None:
    assert v2.parse_encrypt({"chainId": "8996"}, "application/octet-stream") == 8996
    assert v2.parse_environments({"chainId": "8996"}) == 8996
    assert v2.parse_environments({}) is None


def test_the_query_counts_where_there_is_one() -> None:
    assert v2.sent_parameters([("a", "1")], b'{"a": 2}') == {"a": "1"}
    assert v2.sent_parameters([], b'{"a": 2}') == {"a": 2}
    assert v2.sent_parameters([], b"") == {}


@pytest.mark.parametrize(
    ("query", "body"),
    [
        pytest.param([("a", "1"), ("a", "2")], b"", id="a parameter twice in the query"),
        pytest.param([], b'{"a":1,"a":2}', id="a parameter twice in the body"),
        pytest.param([], b"[]", id="a list"),
        pytest.param([], b"a=1", id="a form"),
        pytest.param([], b'{"a":NaN}', id="NaN"),
        pytest.param([], b"[" * 100_000, id="a deep body"),
        pytest.param([], b" " * (2**20 + 1), id="a large body"),
    ],
)
def test_what_has_two_meanings_is_rejected(query: Any, body: bytes) -> None:
    with pytest.raises(Rejected):
        v2.sent_parameters(query, body)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(st.sampled_from(list(PARSERS.values())), st.sampled_from(sorted(start())), _VALUES)
def test_no_value_in_any_place_makes_it_fail(parse: Any, field: str, value: Any) -> None:
    sent = {**start(), "jobId": JOB, "index": "0", "userAddress": CONSUMER, field: value}
    try:
        parse(sent)
    except Rejected as rejected:
        json.dumps(rejected.answer.body)
