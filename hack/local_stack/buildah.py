"""Building images without an engine: buildah, and mmdebstrap for the base.

Both run in mount tables of their own with their storage in the cache, so that an interrupted
build leaves no mount and nothing outside the cache.
"""

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from local_stack import settings
from local_stack.console import working
from local_stack.processes import run

BASE_PACKAGES = "python3,python3-pip,ca-certificates"
_BASE_OPTIONS = tuple(
    f"--dpkgopt=path-exclude=/usr/share/{place}/*" for place in ("man", "doc", "info", "locale")
)
_RELEASE = "bookworm"
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_APART = 'mount --bind "$1" /var/lib/containers && shift && exec "$@"'
_FOLDER = settings.CACHE / "buildah"
_IGNORED = settings.REPOSITORY / "hack" / "images" / "ignored"


def build(name: str, dockerfile: Path, arguments: Mapping[str, str], log: Path) -> None:
    """Build an image from the repository with the given build arguments."""
    given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    options = ("bud", "--isolation=chroot", "--quiet", f"--ignorefile={_IGNORED}")
    words = (*options, *given, f"--tag=localhost/{name}", f"--file={dockerfile}")
    _buildah(*words, str(settings.REPOSITORY), log=log)


def push(name: str, references: tuple[str, ...], log: Path, *, plain: bool) -> str:
    """Push a built image under its names, forget it here, and say its digest in the registry."""
    file = _FOLDER / "digest"
    words = (f"--tls-verify={str(not plain).lower()}", f"--digestfile={file}")
    for reference in references:
        _buildah("push", "--quiet", *words, f"localhost/{name}", f"docker://{reference}", log=log)
    _buildah("rmi", f"localhost/{name}", log=log)
    return file.read_text().strip()


def base_digest() -> str:
    """Say which base image the recipe makes, in a word."""
    recipe = (settings.REPOSITORY / "hack/images/base/Dockerfile").read_text()
    return hashlib.sha256(f"{_RELEASE} {BASE_PACKAGES} {recipe}".encode()).hexdigest()[:16]


def ensure_base(log: Path) -> str:
    """Make the base image from Debian's packages unless it is there, and name it."""
    name = f"c2d-base-python:{base_digest()}"
    if not _buildah(
        "images", "--quiet", "--filter", f"reference=localhost/{name}", log=log
    ).strip():
        with working("Making the base image from Debian packages"):
            _make_base(name, log)
    return f"localhost/{name}"


def forget_interrupted(log: Path) -> None:
    """Remove what builds that were interrupted have left in the storage."""
    shutil.rmtree(_FOLDER / "tmp", ignore_errors=True)
    _buildah("rm", "--all", log=log)


def is_plain(registry: str) -> bool:
    """Say whether a registry speaks plain HTTP."""
    return _answer("http", registry).startswith("http://")


def answers(registry: str) -> bool:
    """Say whether there is a registry at all."""
    return any(_answer(scheme, registry) for scheme in ("http", "https"))


def _answer(scheme: str, registry: str) -> str:
    """Say from which URL a registry answered in the end, or nothing."""
    try:
        with _opener().open(f"{scheme}://{_host(registry)}/v2/", timeout=5) as answer:
            return str(answer.url)
    except urllib.error.HTTPError as error:  # "who are you?" is an answer, "speak TLS" is none
        return str(error.url) if error.code == HTTPStatus.UNAUTHORIZED else ""
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return ""


def digest_in(registry: str, name: str, tag: str, *, plain: bool) -> str | None:
    """Ask a registry for the digest of an image; None where it has none, or tells only friends."""
    host, _, prefix = registry.partition("/")
    path = f"{prefix}/{name}" if prefix else name
    request = urllib.request.Request(  # noqa: S310  (http and https only)
        f"{'http' if plain else 'https'}://{host}/v2/{path}/manifests/{tag}",
        method="HEAD",
        headers={"Accept": _MANIFESTS},
    )
    try:
        with _opener().open(request, timeout=10) as answer:
            digest: str | None = answer.headers["Docker-Content-Digest"]
            return digest
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


def _host(registry: str) -> str:
    return registry.partition("/")[0]


def _opener() -> urllib.request.OpenerDirector:
    """Open URLs without the machine's proxy, which cannot reach the cluster."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _make_base(name: str, log: Path) -> None:
    scratch = _scratch()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        options = ("--variant=minbase", f"--include={BASE_PACKAGES}", *_BASE_OPTIONS)
        archive = Path(folder, "base.tar")
        _apart("mmdebstrap", "--mode=root", *options, _RELEASE, str(archive), log=log)
        dockerfile = settings.REPOSITORY / "hack/images/base/Dockerfile"
        words = ("bud", "--isolation=chroot", "--quiet", f"--tag=localhost/{name}")
        _buildah(*words, f"--file={dockerfile}", folder, log=log)


def _buildah(*words: str, log: Path) -> str:
    return _apart("buildah", *words, log=log)


def _apart(*words: str, log: Path) -> str:
    storage = _FOLDER / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    Path("/var/lib/containers").mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(_scratch()), "BUILDAH_ISOLATION": "chroot"}
    command = ("unshare", "--mount", "sh", "-euc", _APART, "sh", str(storage), *words)
    return run(command, name=" ".join(words[:2]), log=log, env=environment)


def _scratch() -> Path:
    scratch = _FOLDER / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch
