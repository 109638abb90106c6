"""Where files come from: requests as their owners and Ocean's clients expect them."""

import base64
import json
from typing import Any

import pytest

from c2d_provider import sources
from c2d_provider.files import ArweaveFile, GraphqlFile, IpfsFile, S3File, UrlFile
from c2d_provider.ports import ResolvedRequest
from c2d_provider.refusals import Reason, Refused
from c2d_provider.sources import Gateways

NOW = 1369353600  # 2013-05-24, the day of Amazon's example
SECRET = "s3cr3t"  # noqa: S105 - to be looked for
SIGNED = "https://data.example/a%2Fb%20c?sig=a%2Bb%2f&x"


def get(url: str, **values: Any) -> ResolvedRequest:
    return sources.of_url(UrlFile(url, "GET", ()), values)


@pytest.mark.parametrize(
    ("url", "values", "expected"),
    [
        pytest.param(SIGNED, {}, SIGNED, id="a signed URL stays as it is"),
        pytest.param("https://a/b", {"n": "x y&z"}, "https://a/b?n=x+y%26z", id="a text"),
        pytest.param(SIGNED, {"n": 1}, f"{SIGNED}&n=1", id="behind a query"),
        pytest.param("https://a/b#c", {"n": 1}, "https://a/b?n=1#c", id="before a fragment"),
        pytest.param("https://a", {"n": True, "m": None}, "https://a?n=true&m=null", id="booleans"),
        pytest.param("https://a", {"n": ["é"]}, "https://a?n=%5B%22%C3%A9%22%5D", id="a list"),
        pytest.param("https://a", {"n&m=": ""}, "https://a?n%26m%3D=", id="a name that is none"),
    ],
)  # fmt: skip
def test_values_go_into_the_query_of_a_get(url: str, values: dict[str, Any], expected: str) -> None:
    assert get(url, **values) == ResolvedRequest(expected, "GET", ())


def test_values_are_the_body_of_a_post() -> None:
    file = UrlFile("https://a/b", "POST", (("X", "y"),))
    assert sources.of_url(file, {}) == ResolvedRequest("https://a/b", "POST", (("X", "y"),))
    filled = sources.of_url(file, {"n": "é", "m": [1]})
    assert json.loads(filled.body) == {"n": "é", "m": [1]}
    assert filled.headers == (("X", "y"), ("Content-Type", "application/json"))


def test_a_post_keeps_a_content_type_of_its_own() -> None:
    file = UrlFile("https://a/b", "POST", (("content-type", "text/x"),))
    assert sources.of_url(file, {"n": 1}).headers == (("content-type", "text/x"),)


def test_user_and_password_become_a_header() -> None:
    """Which servers of other hosts are not sent, and no log shows."""
    file = UrlFile(f"https://us%40er:{SECRET}@a:8443/b@c?d", "GET", ())
    expected = base64.b64encode(f"us@er:{SECRET}".encode()).decode()
    assert sources.of_url(file, {}) == ResolvedRequest(
        "https://a:8443/b@c?d", "GET", (("Authorization", f"Basic {expected}"),)
    )
    own = UrlFile(f"https://user:{SECRET}@a/", "GET", (("authorization", "Bearer x"),))
    assert sources.of_url(own, {}).headers == (("authorization", "Bearer x"),)


def test_headers_that_steer_the_connection_are_left_out() -> None:
    file = UrlFile("https://a/", "GET", (("Accept-Encoding", "gzip"), ("Expect", "x"), ("A", "b")))
    assert sources.of_url(file, {}).headers == (("A", "b"),)


def test_a_graphql_query_is_posted_with_values_as_variables() -> None:
    request = sources.of_graphql(GraphqlFile("https://a/g", "{ n }", ()), {"n": 1})
    assert (request.method, request.url) == ("POST", "https://a/g")
    assert json.loads(request.body) == {"query": "{ n }", "variables": {"n": 1}}


@pytest.mark.parametrize("base", ["https://gateway.example", "https://gateway.example/"])
def test_gateways_are_asked_by_hash(base: str) -> None:
    cid, id_ = "Qm" + "a" * 44, "A" * 43
    both = Gateways(base, base)
    ipfs = sources.request(IpfsFile(f"{cid}/a.csv", (("A", "b"),)), {"n": 1}, both, NOW)
    expected = f"https://gateway.example/ipfs/{cid}/a.csv"
    named = f"ipfs:{cid}/a.csv"
    assert ipfs == ResolvedRequest(expected, "GET", (("A", "b"),), content_id=named)
    arweave = sources.request(ArweaveFile(id_, ()), {}, both, NOW)
    assert (arweave.url, arweave.content_id) == (f"https://gateway.example/{id_}", f"arweave:{id_}")


@pytest.mark.parametrize("path", ["/%2e%2e/admin", "/a%2F..%2Fb", "/%5Cx"])
def test_a_path_of_ipfs_stays_below_its_hash(path: str) -> None:
    with pytest.raises(Refused) as caught:
        sources.of_ipfs(IpfsFile("Qm" + "a" * 44 + path, ()), "https://gateway.example")
    assert caught.value.refusal.reason == Reason.FILES_MALFORMED


def bucket(**changes: Any) -> S3File:
    return S3File(
        **{
            "endpoint": "https://s3.amazonaws.com",
            "region": "us-east-1",
            "bucket": "examplebucket",
            "key": "test.txt",
            "access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            **changes,
        }
    )


def test_a_request_to_a_bucket_is_signed_as_in_amazons_example() -> None:
    """From the documentation of signature version 4, "Authenticating requests: query"."""
    request = sources.of_bucket(bucket(), NOW, 86400)
    assert request.url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"path_style": True}, "https://s3.amazonaws.com/examplebucket/test.txt"),
        ({"endpoint": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/examplebucket/test.txt"),
        ({"endpoint": "http://[::1]:9000/x/"}, "http://[::1]:9000/x/examplebucket/test.txt"),
        ({"endpoint": "https://S3.example:443/"}, "https://examplebucket.s3.example/test.txt"),
        ({"key": "a b/ü#?.csv"}, "https://examplebucket.s3.amazonaws.com/a%20b/%C3%BC%23%3F.csv"),
        ({"key": "a//../b"}, "https://examplebucket.s3.amazonaws.com/a//../b"),
        ({"endpoint": f"https://user:{SECRET}@s3.example"}, "https://examplebucket.s3.example/test.txt"),
    ],
)  # fmt: skip
def test_a_bucket_is_part_of_the_host_or_of_the_path(
    changes: dict[str, Any], expected: str
) -> None:
    assert sources.of_bucket(bucket(**changes), NOW).url.partition("?")[0] == expected


def test_a_bucket_without_a_region_is_asked_as_in_amazons_first() -> None:
    assert "us-east-1" in sources.of_bucket(bucket(region=""), NOW).url


def test_no_request_shows_what_is_in_it() -> None:
    shown = repr([get(f"https://a/{SECRET}"), bucket(secret_access_key=SECRET), Gateways(SECRET)])
    assert SECRET not in shown
