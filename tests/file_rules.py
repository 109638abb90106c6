"""What a file object may look like: rules that hold in a job and in a Secret alike.

The rows need judgement (patterns, and which parts go together); limits that the schema names by
keyword are tried from the schema itself.
"""

import itertools
from dataclasses import dataclass
from typing import Any

MATCH = "should match"


@dataclass(frozen=True)
class Field:
    """Values of one field: good ones are taken, bad ones are refused with these words."""

    path: str
    words: str
    good: tuple[Any, ...]
    bad: tuple[Any, ...]


_PATHS: tuple[tuple[str, ...], tuple[str, ...]] = (
    ("a", "a/b.csv", "a b/ä%20+?#&=", ".hidden", "...", "..a/.b", "a..b", "a\\b"),
    (
        *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "./a"),
        *("a\n", "a\n/b", "a\u0000", "\t", "a/b\u007f", "a\r"),
    ),
)


def files_fields(path: str) -> tuple[Field, ...]:
    """The rules of a list of files."""
    places: dict[str, Any] = {
        "url": {"url": "https://example.org/"},
        "s3": {"bucket": "trees", "key": "a.csv", "endpoint": "https://s3.example.org"},
        "ipfs": {"cid": "Qm" + "a" * 44},
        "arweave": {"transactionId": "a" * 43},
        "inline": {"text": "x"},
    }
    return (
        Field(
            f"{path}[]",
            "give exactly one of url, s3, ipfs, arweave and inline",
            tuple({name: place} for name, place in places.items()),
            (
                {},
                {"sha256": "ab" * 32},
                places,
                *(
                    {first: places[first], second: places[second]}
                    for first, second in itertools.combinations(places, 2)
                ),
            ),
        ),
        Field(
            f"{path}[].s3.bucket",
            MATCH,
            ("abc", "my.bucket-1", "x" * 63),
            ("", "a", "A-b", "-ab", "ab-", "a_b", "a/b", "..", "../a", "a b", "abc\n", "äbc"),
        ),
        Field(f"{path}[].s3.key", MATCH, *_PATHS),
        Field(
            f"{path}[].s3.endpoint",
            MATCH,
            ("https://s3.example.org", "http://10.89.0.1:7070", "http://[2001:db8::1]:80"),
            (
                *("", "s3.example.org", "s3://bucket", "https://", "https://a/", "https://a/b"),
                *("https://a?b", "https://user@a", "https://a#b", "https://a\n", "https://a b"),
                *("https://a:123456", "https://ä.example", "https://a\\b", "https://a:"),
            ),
        ),
        Field(
            f"{path}[].s3.region",
            MATCH,
            ("eu-central-1", "auto", "US"),
            ("", "a b", "a/b", "a\n", "ä", "a_b"),
        ),
        Field(
            f"{path}[].ipfs.cid",
            MATCH,
            ("Qm" + "a" * 44, "Qm" + "1Z" * 22, "bafybei" + "a2" * 26, "b" + "7" * 118),
            (
                *("", "Qm", "Qm" + "a" * 43, "Qm" + "a" * 45, "Qm" + "0" * 44, "Qm" + "l" * 44),
                *("b" + "1" * 58, "b" + "A" * 58, "b" + "a" * 57, "z" + "a" * 58, "../" + "a" * 44),
                *("Qm" + "a" * 44 + "/x", "Qm" + "a" * 43 + "\n", "Qm" + "a" * 44 + "\n"),
            ),
        ),
        Field(f"{path}[].ipfs.path", MATCH, *_PATHS),
        Field(
            f"{path}[].arweave.transactionId",
            MATCH,
            ("a" * 43, "A_z-0" * 8 + "abc"),
            ("", "a" * 42, "a" * 42 + "/", "a" * 42 + "\n", "." * 43, "a" * 42 + "ä"),
        ),
        Field(
            f"{path}[].url.url",
            MATCH,
            (
                "http://example.org",
                "https://example.org/a%20b?x=~[1]&y=@:",
                "http://10.89.0.1:8080/a.csv",
                "http://[2001:db8::1]:80/a",
                "https://example.org?x",
            ),
            (
                "",
                "ftp://example.org/a",
                "file:///etc/passwd",
                "gopher://example.org",
                "http://",
                "http:///a",
                "https://user@example.org/",
                "https://user:word@example.org/",
                "https://example.org\\@10.0.0.1/",
                "https://example.org#@10.0.0.1/",
                "https://example.org/a#part",
                "https://example.org/a b",
                "https://example.org/\r\nHost: other",
                "https://example.org/a\n",
                "https://example.org\n",
                "https://exämple.org/",
                "https://example.org/ä",
                "https://exam\u00adple.org/",
                "https://example.org/\u0000",
                "https://example.org:port/",
                "https://example.org:123456/",
                " https://example.org/",
                "HTTPS://example.org/\t",
            ),
        ),
        Field(
            f"{path}[].url.headers[].name",
            MATCH,
            ("Accept", "X-Own_1"),
            ("", "A B", "A:", "A\n", "A\r\nHost", "Ä", "A\u0000"),
        ),
        Field(
            f"{path}[].url.headers[].value",
            MATCH,
            ("", "a b\tc", "text/csv; q=0.5, */*"),
            ("a\n", "a\r\nHost: other", "\u0000", "ä", "\u007f"),
        ),
        Field(
            f"{path}[].sha256",
            MATCH,
            ("0123456789abcdef" * 4,),
            ("", "AB" * 32, "ab" * 31, "ab" * 31 + "a\n"),
        ),
    )
