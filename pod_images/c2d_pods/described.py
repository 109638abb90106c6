"""Files that a Secret describes, read as strictly as the API server reads those of a job.

The schema of ComputeJobs has the same rules; `tests/file_rules.py` holds both to them. What a
Secret holds is shown to nobody: words name the Secret and what is wrong, never what stands there.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from c2d_api.computejob import File, parse_file
from c2d_api.exits import PodExit
from c2d_api.tasks import SOURCE_FILE, LoaderTask
from c2d_pods.ending import PodError

Json = Mapping[str, Any]
Check = Callable[[object], None]

MAX_BYTES: Final = 1024 * 1024
MAX_DATASET_FILES: Final = 1000
MAX_ALGORITHM_FILES: Final = 100
MAX_HEADERS: Final = 16
MAX_TEXT: Final = 65536
MAX_FILE_BYTES: Final = 2**50

_HOST = r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_CHARACTER, _UNDOTTED = r"[^/\x00-\x1f\x7f]", r"[^./\x00-\x1f\x7f]"
_SEGMENT = f"({_UNDOTTED}{_CHARACTER}*|[.]{_UNDOTTED}{_CHARACTER}*|[.][.]{_CHARACTER}+)"
_PATH = f"{_SEGMENT}(/{_SEGMENT})*"
_CREDENTIAL = r"[\x21-\x7e]+"


class DescriptionError(ValueError):
    """What is wrong with a description, in words that hold nothing of it."""


def _refuse(words: str) -> NoReturn:
    raise DescriptionError(words)


def with_described_files(task: LoaderTask, mounted: Path) -> LoaderTask:
    """Put the files that Secrets describe into a task; they are mounted in numbered folders.

    Raises:
        PodError: A Secret is not there, or does not say what it should.
    """
    folders = {name: mounted / str(number) for number, name in enumerate(task.secrets)}
    datasets = tuple(
        replace(
            dataset,
            secret=None,
            files=_read(
                folders[dataset.secret],
                f"dataset {dataset.id}: the Secret {dataset.secret}",
                MAX_DATASET_FILES,
                PodExit.DATASET_FAILED,
            ),
        )
        if dataset.secret is not None
        else dataset
        for dataset in task.datasets
    )
    task, secret = replace(task, datasets=datasets), task.algorithm_secret
    if secret is None:
        return task
    files = _read(
        folders[secret],
        f"algorithm: the Secret {secret}",
        MAX_ALGORITHM_FILES,
        PodExit.ALGORITHM_FAILED,
    )
    return replace(task, algorithm_secret=None, algorithm_files=files)


def _read(folder: Path, label: str, most: int, failure: PodExit) -> tuple[File, ...]:
    try:
        with (folder / SOURCE_FILE).open("rb") as source:
            content = source.read(MAX_BYTES + 1)
        return parse_files(content, most)
    except OSError as error:
        words = f"has no key {SOURCE_FILE} that can be read ({error.strerror})"
        raise PodError(f"{label} {words}", failure) from None
    except DescriptionError as error:
        raise PodError(f"{label}: in {SOURCE_FILE}, {error}", failure) from None


def parse_files(content: bytes, most: int = MAX_DATASET_FILES) -> tuple[File, ...]:
    """Read a list of file objects.

    Raises:
        DescriptionError: It is something else.
    """
    if len(content) > MAX_BYTES:
        _refuse(f"there are more than {MAX_BYTES} bytes")
    try:
        listed = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_number)
    except DescriptionError:
        raise
    except (ValueError, RecursionError):
        raise DescriptionError("there is no JSON") from None
    if not isinstance(listed, list) or not 0 < len(listed) <= most:
        _refuse(f"there is no list of 1 to {most} files")
    files = []
    for number, entry in enumerate(listed):
        try:
            _FILE(entry)
            files.append(parse_file(entry))
        except DescriptionError as error:
            raise DescriptionError(f"file {number}: {error}") from None
    return tuple(files)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _refuse("a name stands twice in one object")
    return found


def _no_number(_: str) -> NoReturn:
    _refuse("there is a number that JSON does not have")


def _text(name: str, pattern: str, most: int) -> Check:
    compiled = re.compile(pattern, re.DOTALL)

    def check(value: object) -> None:
        # A character may be written as half of a pair, which no text has.
        if not isinstance(value, str) or len(value) > most or not compiled.fullmatch(value):
            _refuse(f"{name} is not valid")
        if any("\ud800" <= character <= "\udfff" for character in value):
            _refuse(f"{name} is not valid")

    return check


def _object(
    name: str,
    required: Mapping[str, Check],
    optional: Mapping[str, Check],
    together: Check | None = None,
) -> Check:
    known = {**required, **optional}

    def check(value: object) -> None:
        if not isinstance(value, dict):
            _refuse(f"{name} is no object")
        if not set(required) <= set(value) or not set(value) <= set(known):
            _refuse(f"{name} has a field too many or too few")
        for key, given in value.items():
            known[key](given)
        if together is not None:
            together(value)

    return check


def _headers(value: object) -> None:
    if not isinstance(value, list) or len(value) > MAX_HEADERS:
        _refuse(f"headers is no list of at most {MAX_HEADERS}")
    for header in value:
        _HEADER(header)
    if len({header["name"] for header in value}) < len(value):
        _refuse("a header stands twice")


def _max_bytes(value: object) -> None:
    if type(value) is not int or not 1 <= value <= MAX_FILE_BYTES:
        _refuse("maxBytes is not valid")


def _method(value: object) -> None:
    if value not in ("GET", "POST"):
        _refuse("method is not one of GET and POST")


def _whole_key(entry: object) -> None:
    if isinstance(entry, dict) and ("accessKeyId" in entry) != ("secretAccessKey" in entry):
        _refuse("s3 has one half of a key")


def _one_of_all(entry: object) -> None:
    if isinstance(entry, dict) and len(set(entry) & set(_PLACES)) != 1:
        _refuse("there is not exactly one of url, s3, ipfs, arweave and inline")


_HEADER = _object(
    "a header",
    {
        "name": _text("the name of a header", r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", 64),
        "value": _text("the value of a header", r"[\t\x20-\x7e]*", 1024),
    },
    {},
)
_PLACES: Mapping[str, Check] = {
    "url": _object(
        "url",
        {"url": _text("url", rf'{_HOST}([/?][!"$-~]*)?', 2048)},
        {"method": _method, "headers": _headers},
    ),
    "inline": _object("inline", {"text": _text("text", r".*", MAX_TEXT)}, {}),
    "s3": _object(
        "s3",
        {
            "bucket": _text("bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", 63),
            "key": _text("key", _PATH, 1024),
            "endpoint": _text("endpoint", _HOST, 512),
        },
        {
            "region": _text("region", r"[A-Za-z0-9-]+", 64),
            "accessKeyId": _text("accessKeyId", _CREDENTIAL, 256),
            "secretAccessKey": _text("secretAccessKey", _CREDENTIAL, 256),
        },
        _whole_key,
    ),
    "ipfs": _object(
        "ipfs",
        {"cid": _text("cid", r"(Qm[1-9A-HJ-NP-Za-km-z]{44}|b[a-z2-7]{58,118})", 119)},
        {"path": _text("path", _PATH, 1024)},
    ),
    "arweave": _object(
        "arweave", {"transactionId": _text("transactionId", r"[A-Za-z0-9_-]{43}", 43)}, {}
    ),
}
_FILE = _object(
    "it",
    {},
    {
        **_PLACES,
        "sha256": _text("sha256", r"[0-9a-f]{64}", 64),
        "maxBytes": _max_bytes,
    },
    _one_of_all,
)
