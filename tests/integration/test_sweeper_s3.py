"""The sweeper against a real S3 server."""

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from c2d_api.results import MANIFEST
from s3 import S3, s3_server
from sweeping import FILES, FUTURE, PAST, manifest, run, uid_of

EXPIRED, KEPT, LEFT = (uid_of(number) for number in range(1, 4))
MANY = 2500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def credentials(tmp_path: Path, server: S3) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name, value in server.credentials().items():
        (folder / name).write_bytes(value)
    return folder


def opened(server: S3, prefix: str | None = None) -> S3Store:
    return S3Store(
        "results",
        prefix=prefix,
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id=server.access,
        secret_access_key=server.secret,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def put(store: S3Store, uid: str, expires: str | None, *names: str) -> None:
    for name in names or FILES:
        obstore.put(store, f"{uid}/{name}", b"abc", use_multipart=False)
    if expires:
        obstore.put(store, f"{uid}/{MANIFEST}", manifest(uid, expires), use_multipart=False)


def left(store: S3Store) -> set[str]:
    return {meta["path"].split("/")[0] for chunk in obstore.list(store) for meta in chunk}


def asked(server: S3, credentials: Path, prefix: str = "") -> tuple[str, ...]:
    url = f"s3://results/{prefix}"
    return ("--store", url, "--endpoint", server.endpoint, "--credentials", str(credentials))


def test_expired_results_go_and_nothing_beside_the_prefix_does(
    server: S3, credentials: Path
) -> None:
    store, beside = opened(server, "jobs"), opened(server, "jobs-of-others")
    for where in (store, beside):
        put(where, EXPIRED, PAST)
        put(where, KEPT, FUTURE)
        put(where, LEFT, None)
    obstore.put(store, "backups/photo", b"mine", use_multipart=False)
    code, lines = run(*asked(server, credentials, "jobs/"), "--dry-run")
    assert (code, [line["wouldRemove"] for line in lines]) == (0, [EXPIRED])
    assert left(store) == {EXPIRED, KEPT, LEFT, "backups"}
    code, (line,) = run(*asked(server, credentials, "jobs/"))
    assert (code, line["removed"], line["objects"]) == (0, EXPIRED, 4)
    assert left(store) == {KEPT, LEFT, "backups"}
    code, (line,) = run(*asked(server, credentials, "jobs/"), "--leftover-age", "0")
    assert (code, line["removed"], line["because"]) == (0, LEFT, "leftOver")
    assert left(store) == {KEPT, "backups"}
    assert left(beside) == {EXPIRED, KEPT, LEFT}


def test_a_job_of_many_files_goes_in_several_requests(server: S3, credentials: Path) -> None:
    store = opened(server, "many")
    folder = server.bucket / "many" / EXPIRED / "results"
    folder.mkdir(parents=True)
    for index in range(MANY):
        (folder / f"{index:05d}").write_bytes(b"")
    put(store, EXPIRED, PAST)
    put(store, KEPT, FUTURE)
    code, (line,) = run(*asked(server, credentials, "many/"))
    assert (code, line["objects"]) == (0, MANY + 2)
    assert left(store) == {KEPT}


@pytest.mark.parametrize("wrong", ["secret", "bucket"])
def test_a_store_that_cannot_be_swept_is_an_error_without_secrets(
    server: S3, credentials: Path, wrong: str
) -> None:
    arguments = list(asked(server, credentials))
    if wrong == "secret":
        (credentials / "AWS_SECRET_ACCESS_KEY").write_text("wrong-credential")
    else:
        arguments[1] = "s3://no-such-bucket/"
    code, (line,) = run(*arguments)
    assert code == 1
    assert "the result store" in line["error"]
    assert "wrong-credential" not in str(line)
    assert server.endpoint not in str(line)
