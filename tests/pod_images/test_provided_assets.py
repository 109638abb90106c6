"""The loader asks the provider: with its token, there alone, and in its words."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiohttp import web

from c2d_api.asset_request import (
    Denied,
    FileContent,
    FileOnRequest,
    FileRequest,
    Provided,
    ProvidedAsset,
)
from c2d_api.computeenvironment import Address
from c2d_api.computejob import Dataset, File
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask
from pods import Ended, Pod, Site

PATH = "/c2d/internal/assets"
DATASET = Dataset("did:op:aa", "s1", (), from_provider=True)
DATA = ProvidedAsset(0, "dataset", (FileContent(b"\x00data"),), '{"a": 1}')
CODE = ProvidedAsset(0, "algorithm", (FileContent(b"print(1)"),))


Answer = tuple[int, bytes]


class Provider:
    """The provider's side of the conversation, with the answers that a test gives it, in order."""

    def __init__(self, site: Site, *answers: Answer) -> None:
        self.site = site
        self.answers = list(answers)
        self.bodies: list[object] = []
        self.tokens: list[str] = []
        site.answers[PATH] = self.answer

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(json.loads(await request.read()))
        self.tokens.append(request.headers["Authorization"])
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"Location": "/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, body=body, headers=headers)


def handed_out(*assets: ProvidedAsset) -> Answer:
    return 200, Provided(assets).encode()


def task(
    site: Site,
    *datasets: Dataset,
    allowed: Iterable[Address] = (),
    algorithm: bool = False,
) -> str:
    return LoaderTask(
        job="job-1",
        datasets=datasets,
        algorithm_id="did:op:bb" if algorithm else "",
        algorithm_files=(),
        raw_code=None if algorithm else "code",
        algorithm_ddo=None,
        custom_data=None,
        egress=tuple(allowed),
        namespace="jobs",
        attempt=2,
        algorithm_from_provider=algorithm,
        provider_url=site.url("/c2d"),
    ).encode()


@pytest.fixture
def token(loader: Pod, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("secret-token\n")
    loader.arguments = (*loader.arguments, "--token", path)
    return path


def renew(token: Path) -> None:
    token.write_text("secret-renewed")


def content(loader: Pod, path: str) -> bytes:
    return (loader.data / path).read_bytes()


def told(loader: Pod, ended: Ended) -> str:
    """Everything that the loader said, which must hold nothing secret."""
    text = ended.said + (loader.data / "adminlogs/loading.log").read_text()
    assert "secret" not in text
    assert "127.0.0" not in text
    return text


async def test_it_leaves_the_workspace_that_the_provider_describes(
    loader: Pod, site: Site, token: Path
) -> None:
    provider = Provider(
        site, handed_out(DATA, ProvidedAsset(2, "dataset", (FileContent(b"2"),)), CODE)
    )
    public = Dataset("public", "", (File(inline="1"),))
    later = Dataset("did:op:aa", "s2", (), from_provider=True)
    ended = await loader.run(task(site, DATASET, public, later, algorithm=True))
    assert ended.code == PodExit.DONE, ended.said
    assert content(loader, "inputs/aa/0") == b"\x00data"
    assert content(loader, "inputs/aa/1") == b"2"
    assert content(loader, "inputs/public/0") == b"1"
    assert content(loader, "ddos/aa") == b'{"a": 1}'
    assert content(loader, "transformations/algorithm") == b"print(1)"
    assert provider.bodies == [{"namespace": "jobs", "job": "job-1", "attempt": 2}]
    assert provider.tokens == ["Bearer secret-token"]
    told(loader, ended)


async def test_requests_are_sent_as_the_provider_says(loader: Pod, site: Site, token: Path) -> None:
    bodies: list[bytes] = []

    async def asset(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(body=b"rows")

    site.answers["/secret-path"] = asset
    file = FileRequest(
        site.url("/secret-path?secret"), "POST", (("X-Key", "secret-key"),), b'{"query": 1}'
    )
    Provider(site, handed_out(ProvidedAsset(0, "dataset", (file,))))
    ended = await loader.run(task(site, DATASET, allowed=[site.address]))
    assert ended.code == PodExit.DONE, ended.said
    assert content(loader, "inputs/aa/0") == b"rows"
    assert bodies == [b'{"query": 1}']
    method, path, headers = site.requests[-1]
    assert (method, path, headers["X-Key"]) == ("POST", "/secret-path?secret", "secret-key")
    assert "Authorization" not in headers
    told(loader, ended)


@pytest.mark.parametrize(("status", "sent"), [(303, b""), (307, b"body")])
async def test_a_body_goes_along_where_the_method_does(
    loader: Pod, site: Site, token: Path, status: int, sent: bytes
) -> None:
    bodies: list[bytes] = []

    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/new"})

    async def new(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(body=b"rows")

    site.answers |= {"/old": moved, "/new": new}
    file = FileRequest(site.url("/old"), "POST", (), b"body")
    Provider(site, handed_out(ProvidedAsset(0, "dataset", (file,))))
    ended = await loader.run(task(site, DATASET, allowed=[site.address]))
    assert ended.code == PodExit.DONE, ended.said
    assert bodies == [sent]


async def test_the_providers_own_address_is_no_place_for_assets(
    loader: Pod, site: Site, token: Path
) -> None:
    site.serve("/other-secret", b"x")
    file = FileRequest(site.url("/other-secret"))
    Provider(site, handed_out(ProvidedAsset(0, "dataset", (file,))))
    ended = await loader.run(task(site, DATASET))
    assert ended.code == PodExit.DATASET_FAILED
    assert "private or reserved" in told(loader, ended)
    assert [path for _, path, _ in site.requests] == [PATH]


async def test_a_token_goes_nowhere_else(loader: Pod, site: Site, token: Path) -> None:
    site.serve("/elsewhere", Provided((DATA,)).encode())
    Provider(site, (307, b""))
    ended = await loader.run(task(site, DATASET))
    assert ended.code == PodExit.DATASET_FAILED
    assert [path for _, path, _ in site.requests] == [PATH]
    assert "the provider: it answered 307" in told(loader, ended)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
@pytest.mark.parametrize(
    ("denied", "code"),
    [
        (Denied("The order has expired."), PodExit.DATASET_FAILED),
        (Denied("the dataset trusts no algorithm", "algorithm"), PodExit.ALGORITHM_FAILED),
    ],
)
async def test_a_denial_ends_the_job_in_the_providers_words(
    loader: Pod, site: Site, token: Path, status: int, denied: Denied, code: PodExit
) -> None:
    Provider(site, (status, denied.encode()))
    ended = await loader.run(task(site, DATASET))
    assert ended.code == code
    assert ended.report["message"] == f"the provider: {denied.error}"
    assert len(site.requests) == 1
    told(loader, ended)


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503])
async def test_what_may_pass_is_waited_out_with_the_newest_token(
    loader: Pod, site: Site, token: Path, status: int
) -> None:
    class Renewing(Provider):
        async def answer(self, request: web.Request) -> web.Response:
            renew(token)
            return await super().answer(request)

    later = (status, Denied("the job is not bound yet").encode())
    provider = Renewing(site, later, handed_out(DATA))
    ended = await loader.run(task(site, DATASET))
    assert ended.code == PodExit.DONE, ended.said
    assert provider.tokens == ["Bearer secret-token", "Bearer secret-renewed"]
    assert "the job is not bound yet" in told(loader, ended)


async def test_what_does_not_pass_asks_for_another_attempt(
    loader: Pod, site: Site, token: Path
) -> None:
    Provider(site, (503, b"<html>secret</html>"))
    ended = await loader.run(task(site, DATASET), "--attempts", "3")
    assert ended.code == PodExit.TRY_AGAIN
    assert ended.report["message"] == "the provider: it answered 503"
    assert len(site.requests) == 3
    told(loader, ended)


async def test_a_provider_that_is_not_there_asks_for_another_attempt(
    loader: Pod, site: Site, token: Path
) -> None:
    body = json.loads(task(site, DATASET))
    body["provider_url"] = "http://127.0.0.1:1"
    ended = await loader.run(json.dumps(body), "--attempts", "2")
    assert ended.code == PodExit.TRY_AGAIN
    assert "the provider: it did not answer" in told(loader, ended)


async def test_a_token_that_is_missing_asks_for_another_attempt(
    loader: Pod, site: Site, token: Path
) -> None:
    body = task(site, DATASET)
    loader.arguments = (*loader.arguments, "--token", token.with_name("none"))
    Provider(site, handed_out(DATA))
    ended = await loader.run(body, "--attempts", "1")
    assert ended.code == PodExit.TRY_AGAIN
    assert site.requests == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"secret", "no list of assets", id="no JSON"),
        pytest.param(b'{"assets": [{"secret": 1}]}', "no list of assets", id="another form"),
        pytest.param(b" " * (17 * 2**20), "too long", id="more than there can be"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_not_believed(
    loader: Pod, site: Site, token: Path, answer: bytes, words: str
) -> None:
    Provider(site, (200, answer))
    ended = await loader.run(task(site, DATASET), "--attempts", "1")
    assert ended.code == PodExit.TRY_AGAIN
    assert words in told(loader, ended)


@pytest.mark.parametrize(
    ("algorithm", "assets", "code"),
    [
        (False, (), PodExit.DATASET_FAILED),
        (False, (CODE,), PodExit.DATASET_FAILED),
        (True, (DATA,), PodExit.ALGORITHM_FAILED),
    ],
)
async def test_an_asset_that_is_left_out_fails_the_job(
    loader: Pod,
    site: Site,
    token: Path,
    algorithm: bool,
    assets: tuple[ProvidedAsset, ...],
    code: PodExit,
) -> None:
    Provider(site, handed_out(*assets))
    ended = await loader.run(task(site, DATASET, algorithm=algorithm))
    assert ended.code == code
    assert "the provider's answer does not have it" in told(loader, ended)


async def test_an_algorithm_that_was_swapped_since_it_was_judged_does_not_run(
    loader: Pod, site: Site, token: Path
) -> None:
    judged = hashlib.sha256(b"judged").hexdigest()
    file = FileRequest(site.serve("/code", b"swapped"), sha256=judged)
    Provider(site, handed_out(ProvidedAsset(0, "algorithm", (file,))))
    ended = await loader.run(task(site, algorithm=True, allowed=[site.address]))
    assert ended.code == PodExit.ALGORITHM_FAILED
    assert "does not have the sha256 that the provider found" in told(loader, ended)
    assert not (loader.data / "transformations/algorithm").exists()


async def test_without_a_provider_nothing_is_asked(loader: Pod, site: Site, token: Path) -> None:
    body = json.loads(task(site, DATASET))
    body["provider_url"] = ""
    ended = await loader.run(json.dumps(body))
    assert ended.code == PodExit.DATASET_FAILED
    assert "there is no provider to ask" in told(loader, ended)


async def test_a_job_of_public_files_asks_nobody(loader: Pod, site: Site, token: Path) -> None:
    Provider(site, handed_out())
    ended = await loader.run(task(site, Dataset("a", "", (File(inline="x"),))))
    assert ended.code == PodExit.DONE
    assert site.requests == []


ONCE = FileOnRequest("dataset", 0, 0)


class OtherProvider:
    """Where a file is that is asked for by requests good once: each has a number that grows."""

    def __init__(self, site: Site, *answers: int) -> None:
        self.answers = list(answers)
        self.seen: list[str] = []
        site.answers["/secret-once"] = self.answer

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.query["nonce"])
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        body = b"rows" if status == 200 else b"nonce of secret-signature"
        return web.Response(status=status, body=body)


class Signing(Provider):
    """A provider that names a file of another provider, and signs for it when it is asked."""

    async def answer(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        if "file" not in asked:
            return await super().answer(request)
        self.bodies.append(asked)
        url = self.site.url(f"/secret-once?nonce={len(self.bodies)}")
        asset = ProvidedAsset(0, "dataset", (FileRequest(url),))
        return web.Response(body=Provided((asset,)).encode())


async def test_a_request_good_once_is_asked_for_when_it_is_sent(
    loader: Pod, site: Site, token: Path
) -> None:
    provider = Signing(site, handed_out(ProvidedAsset(0, "dataset", (ONCE,))))
    other = OtherProvider(site, 400, 503, 200)
    ended = await loader.run(task(site, DATASET, allowed=[site.address]))
    assert ended.code == PodExit.DONE, ended.said
    assert content(loader, "inputs/aa/0") == b"rows"
    assert other.seen == ["2", "3", "4"]
    named = {"kind": "dataset", "position": 0, "number": 0}
    asked = {"namespace": "jobs", "job": "job-1", "attempt": 2}
    assert provider.bodies == [asked, *[{**asked, "file": named}] * 3]
    told(loader, ended)


async def test_a_request_that_is_turned_down_for_ever_fails_the_job(
    loader: Pod, site: Site, token: Path
) -> None:
    Signing(site, handed_out(ProvidedAsset(0, "dataset", (ONCE,))))
    other = OtherProvider(site, 400)
    ended = await loader.run(task(site, DATASET, allowed=[site.address]), "--attempts", "3")
    assert ended.code == PodExit.DATASET_FAILED
    assert other.seen == ["2", "3", "4"]
    assert ended.report["message"] == "dataset did:op:aa file 0: the server answered 400"
    told(loader, ended)


async def test_another_provider_is_reached_through_the_guard(
    loader: Pod, site: Site, token: Path
) -> None:
    Signing(site, handed_out(ProvidedAsset(0, "dataset", (ONCE,))))
    other = OtherProvider(site, 200)
    ended = await loader.run(task(site, DATASET))
    assert ended.code == PodExit.DATASET_FAILED
    assert "private or reserved" in told(loader, ended)
    assert other.seen == []


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        pytest.param(
            (403, Denied("the dataset is revoked").encode()),
            PodExit.DATASET_FAILED,
            "the dataset is revoked",
            id="what is denied by now",
        ),
        pytest.param(
            handed_out(DATA), PodExit.TRY_AGAIN, "not the request of one file", id="content"
        ),
        pytest.param(
            handed_out(ProvidedAsset(0, "dataset", (ONCE,))),
            PodExit.TRY_AGAIN,
            "not the request of one file",
            id="the name of a file again",
        ),
        pytest.param((503, b"secret"), PodExit.TRY_AGAIN, "it answered 503", id="not now"),
    ],
)
async def test_a_request_good_once_may_not_be_had(
    loader: Pod, site: Site, token: Path, answer: Answer, code: PodExit, words: str
) -> None:
    Provider(site, handed_out(ProvidedAsset(0, "dataset", (ONCE,))), answer)
    ended = await loader.run(task(site, DATASET), "--attempts", "2")
    assert ended.code == code
    assert words in told(loader, ended)
