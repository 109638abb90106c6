"""Fetch what a job has published: `make results JOB=name [INTO=folder]`.

Every file comes under its true name, below one folder and never outside of it, with its sha256
checked. Names are those that an algorithm chose: they are neither trusted as paths nor printed as
they are. Cluster and keys are those of the local stack, or of KUBECONFIG, NAMESPACE and AWS_*.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from c2d_api.results import (
    Manifest,
    ResultFile,
    admin_log_key,
    decode_manifest,
    digest,
    manifest_key,
)

LOCAL = Path(__file__).resolve().parents[1] / ".local"
_PIECE = 4 * 2**20
_KUBECTL_LIMIT = 60
_LONGEST_NAME, _LONGEST_PATH = 255, 2048


class ResultsError(Exception):
    """Why there are no results to show, in words for people."""


class MissingError(ResultsError):
    """What the store does not have."""


@dataclass(frozen=True)
class Stack:
    """A cluster with the project in it: what `make up` has written to its stack.env."""

    values: Mapping[str, str]

    @property
    def namespace(self) -> str:
        """The namespace that jobs are applied in."""
        return self.values.get("NAMESPACE", "c2d-jobs")

    def command(self, *words: str) -> list[str]:
        """Say how kubectl is run for this cluster, in the namespace of its jobs."""
        program = self.values.get("KUBECTL") or shutil.which("kubectl")
        if not program:
            raise ResultsError("kubectl is not installed; name it in KUBECTL")
        kubeconfig = self.values.get("KUBECONFIG")
        where = [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        return [program, *where, f"--namespace={self.namespace}", *words]

    def kubectl(self, *words: str, text: str | None = None, limit: float = _KUBECTL_LIMIT) -> str:
        """Run kubectl and return what it prints.

        Raises:
            ResultsError: It failed, or did not end in time.
        """
        try:
            done = subprocess.run(
                self.command(*words),
                input=text,
                capture_output=True,
                text=True,
                check=False,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            raise ResultsError(f"kubectl {words[0]} did not end within {limit:.0f} s") from None
        if done.returncode:
            raise ResultsError(f"kubectl {words[0]}: {_last_line(done.stderr)}")
        return done.stdout

    def job(self, name: str) -> dict[str, Any]:
        """Read a job."""
        body: dict[str, Any] = json.loads(
            self.kubectl("get", "computejobs.computetodata.io", "--output=json", "--", name)
        )
        return body


def _last_line(text: str) -> str:
    """Take what kubectl says last: before it come the complaints of its libraries."""
    return next(reversed(text.strip().splitlines()), "it failed without a word")


def stack_file() -> Path:
    """Name the stack.env of the cluster that is meant: that of KUBECONFIG or CONTEXT, or ours."""
    own = LOCAL / "stack.env"
    kubeconfig = os.environ.get("KUBECONFIG")
    if kubeconfig and own.exists() and _values(own).get("KUBECONFIG") == kubeconfig:
        return own
    return LOCAL / "external" / "stack.env" if kubeconfig or os.environ.get("CONTEXT") else own


def running_stack() -> Stack:
    """Read where everything of the running stack is.

    Raises:
        ResultsError: There is none.
    """
    path = stack_file()
    if not path.exists():
        raise ResultsError(f"There is no stack: {path} does not exist; run `make up` first")
    return Stack(_values(path))


def _values(path: Path) -> dict[str, str]:
    return dict(
        line.split("=", maxsplit=1) for line in path.read_text().splitlines() if "=" in line
    )


@dataclass(frozen=True)
class Fetched:
    """A published file and where it lies now."""

    file: ResultFile
    path: Path


def open_store(results: Mapping[str, str], values: Mapping[str, str]) -> S3Store | LocalStore:
    """Open the store that a job's status names.

    Raises:
        ResultsError: It cannot be opened from here.
    """
    url = urlsplit(results["store"])
    if url.scheme == "s3":
        endpoint = results.get("endpoint")
        return S3Store(
            url.netloc,
            prefix=url.path.strip("/") or None,
            endpoint=endpoint,
            region=results.get("region") or values.get("AWS_REGION") or "us-east-1",
            access_key_id=values.get("AWS_ACCESS_KEY_ID"),
            secret_access_key=values.get("AWS_SECRET_ACCESS_KEY"),
            virtual_hosted_style_request=False,
            client_options={
                "allow_http": (endpoint or "").startswith("http://"),
                "connect_timeout": "10s",
                "read_timeout": "60s",
                "timeout": "1h",
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )
    if url.scheme == "file" and not url.netloc and Path(url.path).is_dir():
        return LocalStore(prefix=url.path)
    raise ResultsError(
        f"{results['store']} lies on a claim of the cluster: mount it somewhere and name the"
        " folder with --store file:///folder"
    )


class Results:
    """What one job has left in its store."""

    def __init__(self, store: S3Store | LocalStore, uid: str) -> None:
        """Take the store, and the uid that all keys of the job begin with."""
        self._store = store
        self._uid = uid

    def manifest(self, expected: str | None) -> Manifest:
        """Read the list of the job's files, which must have the digest that its status names."""
        try:
            data = b"".join(self._pieces(manifest_key(self._uid)))
        except MissingError:
            raise ResultsError(
                "the results are not in their store any more: they have expired, or somebody has"
                " removed them"
            ) from None
        if expected is not None and digest(data) != expected:
            raise ResultsError("the manifest is not the one that the job's status names")
        manifest = decode_manifest(data)
        if manifest.is_expired(datetime.now(UTC)):
            raise ResultsError(f"the results have expired: they were kept until {manifest.expires}")
        return manifest

    def fetch(self, manifest: Manifest, into: Path) -> list[Fetched]:
        """Bring every file below a folder and check its sha256."""
        fetched = []
        for file, relative in placed(manifest.files):
            path = into / relative
            self._fetch_one(file, path)
            fetched.append(Fetched(file, path))
        return fetched

    def admin_logs(self) -> Iterator[tuple[str, str]]:
        """Read what loader and publisher have to say; consumers never see it."""
        names = ("loading.log", "publishing.log")
        for name, key in ((name, admin_log_key(self._uid, name)) for name in names):  # type: ignore[arg-type]  # mypy widens the tuple's literals
            try:
                yield name, b"".join(self._pieces(key)).decode(errors="backslashreplace")
            except ResultsError:
                yield name, "(not there)\n"

    def _fetch_one(self, file: ResultFile, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        seen = hashlib.sha256()
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            partial = Path(scratch, "file")
            with partial.open("wb") as target:
                for piece in self._pieces(file.key):
                    seen.update(piece)
                    target.write(piece)
            if seen.hexdigest() != file.sha256:
                raise ResultsError(f"{printable(file.name)} is damaged: its sha256 is another one")
            partial.replace(path)

    def _pieces(self, key: str) -> Iterator[bytes]:
        try:
            for piece in obstore.get(self._store, key).stream(min_chunk_size=_PIECE):
                yield bytes(piece)
        except FileNotFoundError:
            raise MissingError(f"the store has no {key}") from None
        except BaseError as error:
            raise ResultsError(f"the store failed: {type(error).__name__} for {key}") from None


def placed(files: Sequence[ResultFile]) -> Iterator[tuple[ResultFile, PurePosixPath]]:
    """Find a place for every file: its own name where it can be one, else its number."""
    taken: set[str] = set()
    folders: set[str] = set()
    for index, file in enumerate(files):
        path = safe_path(file.name)
        marks = 0
        while path is None or _is_taken(path, taken, folders):
            path = PurePosixPath(f"{index:05d}{'~' * marks}")
            marks += 1
        taken.add(_folded(path))
        folders.update(map(_folded, path.parents))
        yield file, path


def _is_taken(path: PurePosixPath, taken: set[str], folders: set[str]) -> bool:
    folded = _folded(path)
    inside = any(_folded(parent) in taken for parent in path.parents)
    return inside or folded in taken or folded in folders


def _folded(path: PurePosixPath) -> str:
    """Write a path as a file system that knows neither case nor Unicode's forms takes it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def safe_path(name: str) -> PurePosixPath | None:
    """Read a name from outside as a path below a folder; None if it is not one."""
    path = printable(name)
    parts = path.split("/")
    if len(path.encode()) > _LONGEST_PATH:
        return None
    if any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_NAME for part in parts):
        return None
    return PurePosixPath(*parts)


def printable(text: str) -> str:
    """Write what could steer a terminal, or deceive the eye, as escapes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def fetch_results(
    stack: Stack, name: str, into: Path, store_url: str | None = None
) -> list[Fetched]:
    """Fetch the results of a job into a folder.

    Raises:
        ResultsError: There are none, or they cannot be had.
    """
    job = stack.job(name)
    status = job.get("status", {})
    if "results" not in status:
        raise ResultsError(
            f"{name} has published nothing (phase {status.get('phase', 'unknown')}, reason"
            f" {status.get('reason', 'unknown')})"
        )
    results = _results(stack, job, store_url)
    return results.fetch(results.manifest(status["results"]["manifestDigest"]), into)


def _results(stack: Stack, job: Mapping[str, Any], store_url: str | None = None) -> Results:
    if store_url:
        where = {"store": store_url}
    else:
        where = job.get("status", {}).get("environment", {}).get("results", {})
    if "store" not in where:
        raise ResultsError("the job was not admitted yet: it has no store")
    return Results(open_store(where, stack.values), job["metadata"]["uid"])


def show(fetched: Sequence[Fetched], into: Path) -> None:
    """Print a table of what was fetched."""
    rows = [
        (printable(str(one.path.relative_to(into))), one.file.type, f"{one.file.size:,}")
        for one in fetched
    ]
    width = max((len(row[0]) for row in rows), default=0)
    for (name, kind, size), one in zip(rows, fetched, strict=True):
        print(f"  {name:{width}}  {kind:12}  {size:>14}  sha256:{one.file.sha256[:12]}…")
    print(f"  {len(rows)} files in {into}, every sha256 is right")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hack/results.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("job", metavar="JOB", help="name of the ComputeJob")
    parser.add_argument("--into", type=Path, help="the folder; .local/results/JOB if absent")
    parser.add_argument("--namespace", help="the job's namespace, if not the stack's")
    parser.add_argument("--store", metavar="URL", help="where the store is, seen from here")
    parser.add_argument(
        "--admin", action="store_true", help="print the logs of loader and publisher as well"
    )
    return parser.parse_args(arguments)


def _stack(namespace: str | None) -> Stack:
    """Take the running stack, or what the environment names."""
    foreign = not stack_file().exists() and os.environ.get("KUBECONFIG")
    stack = Stack(os.environ) if foreign else running_stack()
    return Stack({**stack.values, "NAMESPACE": namespace}) if namespace else stack


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch and show; the exit code says whether there was something to fetch."""
    options = _options(arguments)
    into = options.into or LOCAL / "results" / PurePosixPath(options.job).name
    try:
        stack = _stack(options.namespace)
        if options.admin:
            for name, text in _results(stack, stack.job(options.job), options.store).admin_logs():
                print(f"== {name}")
                print("\n".join(printable(line) for line in text.splitlines()))
        show(fetch_results(stack, options.job, into, options.store), into)
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
