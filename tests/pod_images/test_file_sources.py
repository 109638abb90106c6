"""Which request brings a file, by what a job says of it."""

from urllib.parse import parse_qs, urlsplit

import pytest

from c2d_api.asset_request import FileRequest
from c2d_api.computejob import File, IpfsFile, S3Object
from c2d_api.tasks import NO_GATEWAYS, Gateways
from c2d_pods import sources
from c2d_pods.content import PermanentError
from c2d_pods.urls import checked_url

CID = "Qm" + "a" * 44
BOTH = Gateways("https://ipfs.example.org/", "http://10.1.2.3:1984/raw")
NOON = 2_000_000_000.0


def place(file: File, gateways: Gateways = BOTH) -> str:
    request = sources.request(file, gateways, NOON)
    assert (request.method, request.headers, request.body) == ("GET", (), b"")
    return str(checked_url(request.url))


def test_a_url_is_asked_for_as_it_is() -> None:
    file = File(url="https://a.example/%7Eb?c=%2F", method="POST", headers=(("A", "b"),))
    assert sources.request(file, NO_GATEWAYS, NOON) == FileRequest(
        "https://a.example/%7Eb?c=%2F", "POST", (("A", "b"),)
    )


@pytest.mark.parametrize(
    ("wanted", "url"),
    [
        pytest.param(
            S3Object("trees", "a.csv", "https://s3.example.org"),
            "https://s3.example.org/trees/a.csv",
            id="https",
        ),
        pytest.param(
            S3Object("trees", "a/b c+?#%ä", "http://10.1.2.3:7070"),
            "http://10.1.2.3:7070/trees/a/b%20c%2B%3F%23%25%C3%A4",
            id="a key as it is",
        ),
        pytest.param(
            S3Object("trees", "a", "https://[2001:db8::1]:443"),
            "https://[2001:db8::1]/trees/a",
            id="an address",
        ),
    ],
)
def test_a_public_object_is_asked_for_in_path_style_without_credentials(
    wanted: S3Object, url: str
) -> None:
    assert place(File(s3=wanted)) == url


def test_a_private_object_is_asked_for_with_a_signature_of_now() -> None:
    wanted = S3Object("trees", "a b", "https://s3.example.org", "eu-1", "id/+", "s3cr3t")
    url = urlsplit(place(File(s3=wanted)))
    query = parse_qs(url.query)
    assert url.path == "/trees/a%20b"
    assert query["X-Amz-Credential"] == ["id/+/20330518/eu-1/s3/aws4_request"]
    assert query["X-Amz-Date"] == ["20330518T033320Z"]
    assert "s3cr3t" not in url.query
    later = sources.request(File(s3=wanted), BOTH, NOON + 1)
    assert later.url != url.geturl()
    assert "s3cr3t" not in repr(later)


@pytest.mark.parametrize(
    ("file", "url"),
    [
        (File(ipfs=IpfsFile(CID)), f"https://ipfs.example.org/ipfs/{CID}"),
        (
            File(ipfs=IpfsFile(CID, "a b/c?d%2F..")),
            f"https://ipfs.example.org/ipfs/{CID}/a%20b/c%3Fd%252F..",
        ),
        (File(arweave="a" * 43), f"http://10.1.2.3:1984/raw/{'a' * 43}"),
    ],
)
def test_gateways_are_asked_for_what_they_keep(file: File, url: str) -> None:
    assert place(file) == url


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (File(ipfs=IpfsFile(CID)), "no gateway for files of IPFS"),
        (File(arweave="a" * 43), "no gateway for files of Arweave"),
        (File(), "nothing is said of where the file is"),
    ],
)
def test_a_file_that_cannot_be_asked_for_fails(file: File, words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        sources.request(file, NO_GATEWAYS, NOON)


@pytest.mark.parametrize(
    ("file", "content_id"),
    [
        (File(ipfs=IpfsFile(CID)), f"ipfs:{CID}"),
        (File(ipfs=IpfsFile(CID, "a b/c")), f"ipfs:{CID}/a%20b/c"),
        (File(arweave="a" * 43), f"arweave:{'a' * 43}"),
        (File(url="https://a.example/"), None),
        (File(s3=S3Object("trees", "a", "https://s3.example.org")), None),
    ],
)
def test_what_a_name_says_of_content_goes_along(file: File, content_id: str | None) -> None:
    assert sources.request(file, BOTH, NOON).content_id == content_id
