"""Services of other providers: which they are, what they are asked, and what they are believed."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from c2d_provider import fees, remote
from c2d_provider.ddo import Service
from c2d_provider.ports import Initialized, Remote, Routes
from c2d_provider.refusals import Reason, Refusal, Refused
from chain_facts import DATATOKEN, OTHER_DATATOKEN, PROVIDER, PROVIDER_KEY, STRANGER, offered

DID = f"did:op:{'ab' * 32}"
ORDER = "0x" + "cd" * 32
OURS = ("https://provider.example", "http://[fd00::1]:8030/v2")
THERE = Remote("https://other.example/v2", DID, "s 1", DATATOKEN)
ROUTES = Routes("/api/services/fileinfo", "/api/services/initialize", "/api/services/download")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Provider.Example", "https://provider.example"),
        ("HTTPS://provider.example:443/", "https://provider.example"),
        ("http://provider.example:80", "http://provider.example"),
        ("http://provider.example:443", "http://provider.example:443"),
        ("https://provider.example.", "https://provider.example"),
        ("https://provider.example//v2///", "https://provider.example/v2"),
        ("https://provider.example/V2", "https://provider.example/V2"),
        ("http://10.0.0.1:8030/v2", "http://10.0.0.1:8030/v2"),
        ("http://[FD00::1]:8030", "http://[fd00::1]:8030"),
        ("", None),
        ("provider.example", None),
        ("//provider.example", None),
        ("ftp://provider.example", None),
        ("file:///etc/passwd", None),
        ("https://", None),
        ("https://:443", None),
        ("https://provider.example:99999", None),
        ("https://provider.example:0", None),
        ("https://[::1", None),
        ("https://user:secret@provider.example", None),
        ("https://@provider.example", None),
        ("https://provider.example?a=b", None),
        ("https://provider.example/?", None),
        ("https://provider.example/#", None),
        ("https://provider.example/../admin", None),
        ("https://provider.example/./v2", None),
        ("https://provider.example/%2e%2e/admin", None),
        ("https://provider.example/a\\b", None),
        ("https://provider.example/a b", None),
        ("https://provider.example\n.evil.example", None),
        ("https://prövider.example", None),
        ("https://provider.example/" + "a" * 200, None),
    ],
)
def test_an_endpoint_has_one_spelling_or_none(text: str, expected: str | None) -> None:
    assert remote.normalised(text) == expected


@pytest.mark.parametrize(
    ("endpoint", "urls", "expected"),
    [
        pytest.param("https://provider.example", OURS, True, id="the very same"),
        pytest.param("https://PROVIDER.example:443/", OURS, True, id="ours, written differently"),
        pytest.param("https://provider.example/v2", OURS, True, id="below ours"),
        pytest.param("http://[FD00::1]:8030/v2/", OURS, True, id="an address"),
        pytest.param("http://[fd00::1]:8030", OURS, False, id="above ours"),
        pytest.param("http://[fd00::1]:8030/v20", OURS, False, id="beside ours"),
        pytest.param("https://provider.example.evil.example", OURS, False, id="ours as a prefix"),
        pytest.param("https://provider.example@evil.example", OURS, False, id="ours as a user"),
        pytest.param("http://provider.example", OURS, False, id="another scheme"),
        pytest.param("https://provider.example:8443", OURS, False, id="another port"),
        pytest.param("", OURS, False, id="nothing"),
        pytest.param("https://other.example", (), True, id="no setting: nobody else is asked"),
        pytest.param("", (), True, id="no setting and no endpoint"),
        pytest.param("https://A.example/v2", ("https://a.EXAMPLE:443/",), True, id="a raw setting"),
    ],
)
def test_a_service_is_ours_by_the_urls_that_the_admin_set(
    endpoint: str, urls: tuple[str, ...], expected: bool
) -> None:
    assert remote.is_ours(endpoint, urls) is expected


def service(endpoint: str, type_: str = "access") -> Service:
    return Service("s1", 0, type_, DATATOKEN, endpoint, "0x00", 0, None, (), ())


def test_a_service_for_access_is_asked_for_where_its_ddo_says() -> None:
    found = remote.place(DID, service("HTTP://Other.example:8030/v2/"), OURS)
    assert found == Remote("http://other.example:8030/v2", DID, "s1", DATATOKEN)
    assert remote.place(DID, service("https://provider.example/v2"), OURS) is None
    assert remote.place(DID, service("https://provider.example", "compute"), OURS) is None


@pytest.mark.parametrize(
    ("endpoint", "type_"),
    [
        pytest.param("https://other.example", "compute", id="one for compute stays where it is"),
        pytest.param("https://other.example", "market", id="one of another kind"),
        pytest.param("", "access", id="no endpoint"),
        pytest.param("https://user:secret@other.example", "access", id="an endpoint with a user"),
        pytest.param("https://other.example/?x=", "access", id="an endpoint with a query"),
    ],
)
def test_a_service_of_another_provider_may_be_of_no_use(endpoint: str, type_: str) -> None:
    found = remote.place(DID, service(endpoint, type_), OURS)
    assert isinstance(found, Refusal)
    assert found.reason == Reason.SERVICE_OF_OTHER_PROVIDER
    assert "secret" not in found.message


def test_a_file_is_asked_for_with_a_signature() -> None:
    request = remote.of_download(THERE, ROUTES, (ORDER, 2), (PROVIDER_KEY, "1"), {"n": "é&"})
    parts = urlsplit(request.url)
    assert (request.method, request.headers, request.body) == ("GET", (), b"")
    assert (parts.netloc, parts.path) == ("other.example", "/v2/api/services/download")
    assert {name: value for name, (value,) in parse_qs(parts.query).items()} == {
        "documentId": DID,
        "serviceId": "s 1",
        "transferTxId": ORDER,
        "fileIndex": "2",
        "consumerAddress": PROVIDER,
        "nonce": "1",
        # the first of the vectors that were made with provider v2
        "signature": "0x4cbb72b7355ed39d02961b04f06158dd2b1a318131305243364d750bf5b73cba7"
        "ae3033539b0eef9250ea7e588cb340f3f01f8581639f297c5f7df3e218392a71c",
        "userdata": '{"n":"é&"}',
    }
    assert "signature" not in repr(request)


def test_what_is_asked_unsigned_names_the_service_alone() -> None:
    request = remote.of_file_info(THERE, ROUTES)
    assert (request.url, request.method) == (
        "https://other.example/v2/api/services/fileinfo",
        "POST",
    )
    assert request.headers == (("Content-Type", "application/json"),)
    assert json.loads(request.body) == {"did": DID, "serviceId": "s 1"}
    for transaction in ("", ORDER):
        asked = remote.of_initialize(THERE, ROUTES, STRANGER, transaction)
        query = {name: value for name, (value,) in parse_qs(urlsplit(asked.url).query).items()}
        assert query.pop("transferTxId", "") == transaction
        assert query == {"documentId": DID, "serviceId": "s 1", "consumerAddress": STRANGER}


def root(**changes: Any) -> bytes:
    listed = {
        "fileinfo": ["POST", "/api/services/fileinfo"],
        "initialize": ["GET", "/api/services/initialize"],
        "download": ["GET", "/api/services/download"],
        "other": ["PUT", "https://elsewhere"],
    }
    return json.dumps({"serviceEndpoints": {**listed, **changes}}).encode()


def test_routes_are_those_that_the_root_lists() -> None:
    assert remote.read_routes(root()) == ROUTES
    assert remote.read_routes(root(download=["GET", "/d"])).download == "/d"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="a page"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no endpoints"),
        pytest.param(b'{"serviceEndpoints": []}', id="endpoints without names"),
        pytest.param(root(download=None), id="a route left out"),
        pytest.param(root(download=["POST", "/d"]), id="another method"),
        pytest.param(root(download=["GET"]), id="half a route"),
        pytest.param(root(download=["GET", 5]), id="a path that is a number"),
        pytest.param(root(download=["GET", "d"]), id="a path that would lengthen the host"),
        pytest.param(root(download=["GET", ".evil.example/d"]), id="a path that is a host"),
        pytest.param(root(download=["GET", "@evil.example/d"]), id="a path behind a user"),
        pytest.param(root(download=["GET", "//evil.example/d"]), id="a path with a host"),
        pytest.param(root(download=["GET", "/../d"]), id="a path that climbs"),
        pytest.param(root(download=["GET", "/d?x="]), id="a path with a query"),
        pytest.param(root(download=["GET", "/d d"]), id="a path with a space"),
        pytest.param(b" " * (remote.MAX_ANSWER_BYTES + 1) + b"{}", id="more than is read"),
    ],
)
def test_what_is_no_provider_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        remote.read_routes(body)
    assert refused.value.refusal.reason == Reason.REMOTE_PROVIDER
    assert "evil" not in refused.value.refusal.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[{}]", 1),
        (json.dumps([{"index": 7, "valid": False}] * 1000).encode(), 1000),
        (b"[]", None),
        (json.dumps([0] * 1001).encode(), None),
        (b"{}", None),
        (b"7", None),
        (b"x", None),
    ],
)
def test_files_are_counted(body: bytes, expected: int | None) -> None:
    if expected is not None:
        assert remote.read_file_info(body) == expected
        return
    with pytest.raises(Refused) as refused:
        remote.read_file_info(body)
    assert refused.value.refusal.reason == Reason.REMOTE_PROVIDER


SIGNED = fees.sign(offered(address=PROVIDER, amount=5, valid_until=9), PROVIDER_KEY)


def initialized(**changes: Any) -> bytes:
    body = {"datatoken": DATATOKEN, "nonce": "1", "providerFee": SIGNED.as_dict(), **changes}
    return json.dumps({k: v for k, v in body.items() if v is not None}).encode()


def with_fee(**changes: Any) -> bytes:
    return initialized(providerFee={**SIGNED.as_dict(), **changes})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(initialized(), Initialized(SIGNED, None), id="a fee"),
        pytest.param(
            initialized(datatoken=DATATOKEN.lower()), Initialized(SIGNED, None), id="lower case"
        ),
        pytest.param(initialized(validOrder=ORDER), Initialized(SIGNED, ORDER), id="a reuse"),
        pytest.param(
            b'{"validOrder": "%s"}' % ORDER.upper().replace("0X", "0x").encode(),
            Initialized(None, ORDER),
            id="an order",
        ),
        pytest.param(with_fee(v=SIGNED.v - 27), Initialized(SIGNED, None), id="v as 0 or 1"),
        pytest.param(with_fee(providerFeeAmount=5), Initialized(SIGNED, None), id="a number"),
    ],
)
def test_what_a_download_needs_is_read(body: bytes, expected: Initialized) -> None:
    assert remote.read_initialize(body, DATATOKEN) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{}", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(initialized(datatoken=OTHER_DATATOKEN), id="another datatoken"),
        pytest.param(initialized(providerFee=[1]), id="a fee that is none"),
        pytest.param(b'{"validOrder": true}', id="an order that is none"),
        pytest.param(with_fee(providerFeeAmount="6"), id="an amount that is not signed"),
        pytest.param(with_fee(providerFeeAmount="-5"), id="an amount below nothing"),
        pytest.param(with_fee(providerFeeAmount=True), id="an amount that is true"),
        pytest.param(with_fee(providerFeeAmount="9" * 100), id="an amount of no contract"),
        pytest.param(with_fee(providerFeeAddress=STRANGER), id="another's fee"),
        pytest.param(with_fee(providerFeeAddress="me"), id="nobody's fee"),
        pytest.param(with_fee(providerData="secret"), id="data that are no bytes"),
        pytest.param(with_fee(validUntil="9"), id="a time that is a text"),
        pytest.param(with_fee(v=29), id="no recovery"),
        pytest.param(with_fee(r="0x"), id="half a signature"),
        pytest.param(with_fee(s="0x" + "ff" * 33), id="more than a signature"),
    ],
)
def test_a_fee_that_the_contract_would_not_take_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        remote.read_initialize(body, DATATOKEN)
    assert refused.value.refusal.reason == Reason.REMOTE_PROVIDER
    assert "secret" not in refused.value.refusal.message
