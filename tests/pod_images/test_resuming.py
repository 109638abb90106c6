"""Whether a download goes on where it was cut: no two versions ever come together."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from c2d_pods.resuming import (
    Answer,
    Kept,
    Receive,
    Refused,
    StartOver,
    Version,
    decide,
    range_headers,
    read_answer,
)

DAY = "Wed, 01 Oct 2025 10:00:00 GMT"
NEXT_SECOND = "Wed, 01 Oct 2025 10:00:01 GMT"
LATER = "Thu, 02 Oct 2025 10:00:00 GMT"
VERSION = Version("http://a/f", '"v1"', DAY, LATER, total=100)
KEPT = Kept(40, VERSION)
REST = Answer(206, "http://a/f", 60, '"v1"', DAY, LATER, "bytes 40-99/100")
CHANGED = StartOver("the file on the server changed while it was loaded")
NO_PART = StartOver("the server does not say which part of the file it sends")
OTHER_PART = StartOver("the server sends another part of the file than it was asked for")


@pytest.mark.parametrize(
    ("kept", "headers"),
    [
        pytest.param(None, {}, id="nothing is there"),
        pytest.param(Kept(0, VERSION), {}, id="no byte is there"),
        pytest.param(KEPT, {"Range": "bytes=40-", "If-Range": '"v1"'}, id="an entity tag"),
        pytest.param(Kept(40, replace(VERSION, etag='W/"v1"')), {}, id="a weak entity tag"),
        pytest.param(Kept(40, replace(VERSION, etag="v1")), {}, id="an entity tag without quotes"),
        pytest.param(
            Kept(40, replace(VERSION, etag='"\udce9"')), {}, id="an entity tag that cannot be sent"
        ),
        pytest.param(
            Kept(40, replace(VERSION, etag="")),
            {"Range": "bytes=40-", "If-Range": DAY},
            id="a date long before the answer",
        ),
        pytest.param(
            Kept(40, replace(VERSION, etag="", date=NEXT_SECOND)),
            {"Range": "bytes=40-", "If-Range": DAY},
            id="a date one second before the answer",
        ),
        pytest.param(
            Kept(40, replace(VERSION, etag="", date=DAY)), {}, id="a date as young as the answer"
        ),
        pytest.param(Kept(40, replace(VERSION, etag="", date="")), {}, id="a date of unknown age"),
        pytest.param(
            Kept(40, replace(VERSION, etag="", modified="soon")), {}, id="what is no date"
        ),
        pytest.param(
            Kept(40, replace(VERSION, etag="", modified=DAY + " (\udce9)")),
            {},
            id="a date that cannot be sent",
        ),
        pytest.param(
            Kept(40, Version("http://a/f", total=100)), {}, id="nothing tells versions apart"
        ),
    ],
)
def test_the_rest_is_asked_for_only_of_the_same_version(
    kept: Kept | None, headers: dict[str, str]
) -> None:
    assert range_headers(kept) == headers


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        pytest.param(REST, Receive(40, 100, VERSION), id="the rest"),
        pytest.param(
            replace(REST, length=None), Receive(40, 100, VERSION), id="the rest in chunks"
        ),
        pytest.param(
            replace(REST, etag="", modified=""), Receive(40, 100, VERSION), id="a bare answer"
        ),
        pytest.param(
            replace(REST, content_range="bytes 40-99/*"),
            Receive(40, 100, VERSION),
            id="the rest of what was measured before",
        ),
        pytest.param(
            replace(REST, content_range="bytes 40-59/100", length=20),
            Receive(40, 60, VERSION),
            id="some of the rest",
        ),
        pytest.param(
            replace(REST, status=200, length=90, etag='"v2"'),
            Receive(0, 90, Version("http://a/f", '"v2"', DAY, LATER, 90)),
            id="the whole of a new version",
        ),
        pytest.param(
            replace(REST, status=200, length=None),
            Receive(0, None, replace(VERSION, total=None)),
            id="the whole in chunks",
        ),
        pytest.param(
            replace(REST, status=416),
            StartOver("the file on the server is shorter than before"),
            id="no rest",
        ),
        pytest.param(replace(REST, etag='"v2"'), CHANGED, id="another entity tag"),
        pytest.param(replace(REST, etag='W/"v1"'), CHANGED, id="an entity tag that got weak"),
        pytest.param(replace(REST, modified=LATER), CHANGED, id="another date"),
        pytest.param(replace(REST, place="http://b/f"), CHANGED, id="another place"),
        pytest.param(
            replace(REST, content_range="bytes 40-99/101"), CHANGED, id="another total"
        ),
        pytest.param(
            replace(REST, content_range="bytes 40-100/*", length=61), CHANGED, id="past the end"
        ),
        pytest.param(replace(REST, content_range=""), NO_PART, id="no range"),
        pytest.param(replace(REST, content_range="bytes */100"), NO_PART, id="no part"),
        pytest.param(
            replace(REST, content_range="bytes 40-99/" + "9" * 5000), NO_PART, id="a huge number"
        ),
        pytest.param(
            replace(REST, content_range="bytes \uff140-99/100"), NO_PART, id="other digits"
        ),
        pytest.param(
            replace(REST, content_range="bytes 0-99/100", length=100), OTHER_PART, id="too early"
        ),
        pytest.param(
            replace(REST, content_range="bytes 41-99/100", length=59), OTHER_PART, id="too late"
        ),
        pytest.param(
            replace(REST, content_range="bytes 40-39/100", length=0), OTHER_PART, id="backwards"
        ),
        pytest.param(
            replace(REST, content_range="bytes 40-100/100", length=61), OTHER_PART, id="too far"
        ),
        pytest.param(replace(REST, length=61), OTHER_PART, id="a length that does not fit"),
        *(pytest.param(replace(REST, status=status), Refused(), id=f"{status}, which may pass")
          for status in (408, 425, 429, 500, 503)),
        *(pytest.param(
            replace(REST, status=status),
            StartOver(f"the server answered {status} when it was asked for the rest"),
            id=f"{status}, which the whole may not bring",
        ) for status in (204, 304, 400, 403, 404, 412)),
    ],
)  # fmt: skip
def test_an_answer_is_continued_left_or_refused(
    answer: Answer, decision: Receive | StartOver | Refused
) -> None:
    assert decide(KEPT, answer) == decision


@pytest.mark.parametrize("kept", [None, Kept(0, VERSION), Kept(40, Version(total=100))])
@pytest.mark.parametrize("status", [206, 416])
def test_a_part_that_nobody_asked_for_is_refused(kept: Kept | None, status: int) -> None:
    assert decide(kept, replace(REST, status=status)) == Refused()


def test_an_unknown_total_becomes_known() -> None:
    kept = Kept(40, replace(VERSION, total=None))
    assert decide(kept, REST) == Receive(40, 100, VERSION)
    unknown = replace(REST, content_range="bytes 40-99/*")
    assert decide(kept, unknown) == Receive(40, 100, kept.version)


@given(st.text(), st.text())
@example(LATER.replace("GMT", "+9" + "9" * 30), DAY)
def test_dates_of_any_form_are_borne(date: str, modified: str) -> None:
    assert range_headers(Kept(1, Version(modified=modified, date=date))) == {}


def test_an_answer_is_read_from_its_headers() -> None:
    headers = {
        "ETag": '"v1"',
        "Last-Modified": DAY,
        "Date": LATER,
        "Content-Range": "bytes 40-99/100",
    }
    assert read_answer(206, "http://a/f", 60, headers) == REST
    assert "http" not in repr((REST, KEPT))


class Server:
    """Versions of a file, of which one is served at a time, by a server of some character."""

    def __init__(self, versions: list[bytes], *, judges: bool, measures: bool) -> None:
        self.versions, self.judges, self.measures = versions, judges, measures
        self.current = 0

    def answer(self, headers: dict[str, str]) -> tuple[Answer, bytes]:
        body, etag = self.versions[self.current], f'"{self.current}"'
        length = len(body) if self.measures else None
        whole = Answer(200, "http://a/f", length, etag, date=LATER)
        if "Range" not in headers or (self.judges and headers["If-Range"] != etag):
            return whole, body
        start = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return replace(whole, status=416, length=0), b""
        place = f"bytes {start}-{len(body) - 1}/{len(body) if self.measures else '*'}"
        rest = replace(whole, status=206, length=len(body) - start, content_range=place)
        return rest, body[start:]


# What happens before and in an attempt: the version moves on or not, and where the body is cut.
ATTEMPTS = st.lists(st.tuples(st.booleans(), st.one_of(st.none(), st.integers(0, 30))), max_size=12)


@given(
    st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=4, unique=True),
    st.booleans(),
    st.booleans(),
    ATTEMPTS,
)
def test_a_file_that_is_put_together_is_one_version(
    versions: list[bytes],
    judges: bool,
    measures: bool,
    attempts: list[tuple[bool, int | None]],
) -> None:
    server = Server(versions, judges=judges, measures=measures)
    content, kept = b"", None
    for moves, cut in [*attempts, (False, None), (False, None)]:
        server.current = min(server.current + moves, len(versions) - 1)
        answer, body = server.answer(range_headers(kept))
        match decide(kept, answer):
            case Receive(start, _, version):
                assert start in {0, len(content)}
                content = content[:start] + body[:cut]
                kept = Kept(len(content), version)
                if cut is None or cut >= len(body):
                    break
            case StartOver():
                content, kept = b"", None
            case Refused():
                pytest.fail("an honest server refuses nothing")
    assert content == versions[server.current]
