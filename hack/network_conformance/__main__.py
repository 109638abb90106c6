"""`make network-conformance`: upstream's specs of NetworkPolicy, on the stack that is up."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from local_stack import buildah, settings, toolchain
from local_stack.console import StackError, working
from local_stack.processes import failure, quiet_environment
from network_conformance.specs import Verdict, focused, judged, read_report, skipped
from results import ResultsError, running_stack

_FOLDER = settings.LOCAL / "network-conformance"
_DOCKERFILE = settings.REPOSITORY / "hack/images/agnhost/Dockerfile"
_LIMIT_SECONDS = 3600


def main() -> int:
    """Build what is missing, run the specs, and say what became of them."""
    parser = argparse.ArgumentParser(prog="python -m network_conformance", description=__doc__)
    parser.add_argument("--focus", default="", help="an expression: only specs of such names")
    focus = parser.parse_args().focus
    try:
        stack = running_stack()
        _FOLDER.mkdir(parents=True, exist_ok=True)
        programs = toolchain.ensure("agnhost", "netpol.test")
        registry = stack.values["REGISTRY"]
        _ensure_image(registry, programs["agnhost"])
        verdict = _run(programs["netpol.test"], Path(stack.values["KUBECONFIG"]), registry, focus)
    except (StackError, ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(verdict.lines()))
    return 0 if verdict.is_good else 1


def _ensure_image(registry: str, program: Path) -> None:
    """Push the image of upstream's pods under the name that the specs ask this registry for."""
    version, plain = settings.AGNHOST_VERSION, buildah.is_plain(registry)
    if buildah.digest_in(registry, "agnhost", version, plain=plain):
        return
    log = _FOLDER / "image.log"
    copied = Path(shutil.copy(program, _FOLDER / "agnhost"))
    arguments = {"PROGRAM": str(copied.relative_to(settings.REPOSITORY))}
    with working("Building the image agnhost"):
        buildah.build(f"agnhost:{version}", _DOCKERFILE, arguments, log)
        buildah.push(f"agnhost:{version}", (f"{registry}/agnhost:{version}",), log, plain=plain)


def _run(program: Path, kubeconfig: Path, registry: str, focus: str) -> Verdict:
    report, log = _FOLDER / "report.json", _FOLDER / "specs.log"
    report.unlink(missing_ok=True)
    registries = _FOLDER / "registries.yaml"
    registries.write_text(json.dumps({"promoterE2eRegistry": registry}))
    command = (
        program,
        "--provider=local",
        f"--kubeconfig={kubeconfig}",
        f"--ginkgo.focus={focused(focus)}",
        f"--ginkgo.skip={skipped()}",
        f"--ginkgo.json-report={report}",
        "--ginkgo.no-color",
    )
    environment = _direct(quiet_environment()) | {"KUBE_TEST_REPO_LIST": str(registries)}
    with working(f"Running upstream's specs of NetworkPolicy; log: {log}"), log.open("w") as output:
        subprocess.run(
            command,
            cwd=_FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    if not report.exists():
        raise failure("Upstream's program wrote no report", log)
    return judged(read_report(json.loads(report.read_text()), focus))


def _direct(environment: dict[str, str]) -> dict[str, str]:
    """Leave out the machine's proxies, which cannot reach the cluster."""
    return {name: value for name, value in environment.items() if not _is_proxy(name)}


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")


if __name__ == "__main__":
    sys.exit(main())
