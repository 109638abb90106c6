"""The images of the stack: ours from the shipped Dockerfiles, and some for algorithms.

An image's tag is a digest of all that goes into it, so that the registry itself tells whether it
must be built: what has not changed is there already.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local_stack import buildah, settings, wheels
from local_stack.console import StackError, say, working
from local_stack.processes import run
from local_stack.toolchain import go_environment

NEWEST = "local"  # a tag for people: what was built last
_BUSYBOX = Path("/bin/busybox")
_PROGRAM = settings.REPOSITORY / "hack/images/noshell/main.go"


@dataclass(frozen=True)
class Recipe:
    """How an image is made: a Dockerfile and, for Python, what must be installed."""

    dockerfile: str
    requirements: str | None = None


@dataclass(frozen=True)
class Image:
    """An image in the registry."""

    repository: str
    tag: str
    digest: str

    @property
    def reference(self) -> str:
        """Name the image so that it is always this one."""
        return f"{self.repository}@{self.digest}"


CLUSTER = {
    "c2d-pause": Recipe("hack/images/pause/Dockerfile"),
    "c2d-busybox": Recipe("hack/images/busybox/Dockerfile"),
    "c2d-volumes": Recipe("hack/images/volumes/Dockerfile"),
}
PROGRAMS = {
    "c2d-operator": Recipe("operator/Dockerfile", "requirements/operator.txt"),
    "c2d-loader": Recipe("pod_images/loader/Dockerfile", "requirements/pods.txt"),
    "c2d-publisher": Recipe("pod_images/publisher/Dockerfile", "requirements/pods.txt"),
    "c2d-provider": Recipe("provider_api/Dockerfile", "requirements/provider.txt"),
}
ALGORITHMS = {
    "c2d-busybox": CLUSTER["c2d-busybox"],
    "c2d-noshell": Recipe("hack/images/noshell/Dockerfile"),
    "c2d-algorithm": Recipe(
        "hack/images/algorithm/Dockerfile", "hack/images/algorithm/requirements.txt"
    ),
}


@dataclass(frozen=True)
class Builder:
    """Builds into one registry, with the stack's folder for what goes into the images."""

    registry: str
    folder: Path
    plain: bool

    @property
    def log(self) -> Path:
        """Where builds write."""
        return self.folder / "log" / "images.log"

    def ensure(self, recipes: dict[str, Recipe]) -> dict[str, Image]:
        """Build and push what the registry does not have yet."""
        return {name: self._ensure_one(name, recipe) for name, recipe in recipes.items()}

    def _ensure_one(self, name: str, recipe: Recipe) -> Image:
        tag = content_tag(recipe)
        repository = f"{self.registry}/{name}"
        digest = self._digest(name, tag)
        if digest is None or digest != self._digest(name, NEWEST):
            buildah.forget_interrupted(self.log)
            arguments = self._arguments(recipe)
            with working(f"Building the image {name}"):
                dockerfile = settings.REPOSITORY / recipe.dockerfile
                buildah.build(f"{name}:{tag}", dockerfile, arguments, self.log)
            with working(f"Pushing the image {name} to {self.registry}"):
                references = (f"{repository}:{tag}", f"{repository}:{NEWEST}")
                digest = buildah.push(f"{name}:{tag}", references, self.log, plain=self.plain)
            say(f"The image {name} is new: {digest}")
        return Image(repository, tag, digest)

    def _digest(self, name: str, tag: str) -> str | None:
        return buildah.digest_in(self.registry, name, tag, plain=self.plain)

    def _arguments(self, recipe: Recipe) -> dict[str, str]:
        """Prepare what the Dockerfile asks for by its arguments."""
        asked = _declared(recipe)
        given: dict[str, str] = {}
        if "BASE" in asked:
            given["BASE"] = buildah.ensure_base(self.log)
        if "WHEELS" in asked:
            given["WHEELS"] = self._wheels(recipe)
        if "BUSYBOX" in asked:
            given["BUSYBOX"] = self._relative(
                shutil.copy(_BUSYBOX, self._build_folder() / "busybox")
            )
        if "PROGRAM" in asked:
            given["PROGRAM"] = self._program()
        return given

    def _wheels(self, recipe: Recipe) -> str:
        if recipe.requirements is None:
            raise StackError(f"{recipe.dockerfile} asks for WHEELS, but no requirements are known")
        requirements = settings.REPOSITORY / recipe.requirements
        destination = self.folder / "wheels" / requirements.parent.name / requirements.stem
        with working(f"Downloading Python packages of {recipe.requirements}"):
            downloaded = wheels.fetch(requirements, self.folder / "log" / "pip.log")
        destination.parent.mkdir(parents=True, exist_ok=True)
        wheels.place(downloaded, destination)
        return self._relative(destination)

    def _program(self) -> str:
        target = self._build_folder() / "noshell"
        command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), _PROGRAM.name]
        run(command, log=self.log, cwd=_PROGRAM.parent, env=go_environment())
        return self._relative(target)

    def _build_folder(self) -> Path:
        folder = self.folder / "build"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _relative(self, path: str | Path) -> str:
        return str(Path(path).relative_to(settings.REPOSITORY))


def content_tag(recipe: Recipe) -> str:
    """Compute a tag from everything that goes into an image."""
    dockerfile = settings.REPOSITORY / recipe.dockerfile
    if not dockerfile.exists():
        raise StackError(f"{recipe.dockerfile} does not exist")
    digest = hashlib.sha256(dockerfile.read_bytes())
    asked = _declared(recipe)
    if "BASE" in asked:
        digest.update(buildah.base_digest().encode())
    prepared = [("WHEELS", recipe.requirements), ("BUSYBOX", _BUSYBOX), ("PROGRAM", _PROGRAM)]
    copied = [settings.REPOSITORY / path for key, path in prepared if path and key in asked]
    for path in [*copied, *_copied(dockerfile)]:
        inside = path.is_relative_to(settings.REPOSITORY)
        name = path.relative_to(settings.REPOSITORY) if inside else path
        digest.update(f"\0{name}\0{path.stat().st_mode:o}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _declared(recipe: Recipe) -> set[str]:
    text = (settings.REPOSITORY / recipe.dockerfile).read_text()
    return set(re.findall(r"^ARG\s+(\w+)", text, re.MULTILINE))


def _copied(dockerfile: Path) -> Iterator[Path]:
    """List the files of the repository that a Dockerfile copies."""
    for line in dockerfile.read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not any(word.startswith("--from") for word in words):
            for source in words[1:-1]:
                if not source.startswith("$"):
                    yield from _files(settings.REPOSITORY / source)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts
    )
