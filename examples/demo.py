"""Run a job on real data, show its phases as they pass, and check what it has found.

The job is examples/flights/job.yaml: an algorithm that comes to all flights that left New York in
2013 and brings back when, and with whom, one leaves on time. Its results are fetched from the
store and compared with the same figures, computed here from the same table without the cluster.
"""
# ruff: noqa: INP001, T201 - it stands alone, and its terminal output is what it is for

import argparse
import csv
import hashlib
import json
import math
import secrets
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "hack"))

from results import ResultsError, Stack, fetch_results, printable, running_stack, show  # noqa: E402

FLIGHTS = ROOT / "examples" / "flights"
ALGORITHM = "flights-algorithm.py"
MARKS = {"True": ("✓", "32"), "False": ("✗", "31"), "Unknown": ("·", "2")}
BAR = 30
SECONDS_TO_DOWNLOAD = 60


class DemoError(Exception):
    """Why the demo ends without a result, in words for people."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 only if the results are there and right."""
    options = _options(arguments)
    try:
        _run(running_stack(), options)
    except (DemoError, ResultsError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the job goes on: `kubectl get cjob --watch`", file=sys.stderr)
        return 130
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="examples/demo.py", description=__doc__)
    parser.add_argument(
        "--limit", type=float, default=300, metavar="SECONDS", help="how long the job may take"
    )
    parser.add_argument(
        "--into", type=Path, help="the folder for results; .local/demo/JOB if absent"
    )
    parser.add_argument("--print", action="store_true", help="print the job instead of running it")
    return parser.parse_args(arguments)


def _run(stack: Stack, options: argparse.Namespace) -> None:
    name = f"flights-{secrets.token_hex(3)}"
    job = described(stack, name)
    if options.print:
        print(yaml.safe_dump(job, sort_keys=False), end="")
        return
    publish_algorithm(stack)
    say_what_happens(job)
    stack.kubectl("create", "--filename=-", text=json.dumps(job))
    outcome = follow(stack, name, options.limit)
    into = options.into or ROOT / ".local" / "demo" / name
    print(f"\nResults of {name}")
    fetched = {one.file.name: one.path for one in fetch(stack, name, into)}
    print("\nalgorithm.log")
    print("\n".join(f"  {printable(line)}" for line in _text(fetched, "algorithm.log").split("\n")))
    if outcome != "Complete":
        raise DemoError(f"the job {name} ended as {outcome}: `kubectl describe cjob {name}`")
    summary = json.loads(_text(fetched, "summary.json"))
    tell(summary)
    compare(summary, flights_of(job), summary["late_minutes"])
    print(f"The plot is {fetched['delays.png']}")


def described(stack: Stack, name: str) -> dict[str, Any]:
    """Read the example job and give it a name, and the addresses of this stack."""
    job: dict[str, Any] = yaml.safe_load((FLIGHTS / "job.yaml").read_text())
    values = stack.values
    job["metadata"] = {"name": name, "namespace": stack.namespace}
    job["spec"]["environment"] = values["ENVIRONMENT"]
    flights, carriers = job["spec"]["datasets"]
    flights["source"]["files"][0]["url"]["url"] = values["DATA_URL"]
    carriers["source"]["files"][0]["url"]["url"] = beside(values["DATA_URL"], "airlines.csv")
    algorithm = job["spec"]["algorithm"]
    algorithm["container"] |= {"image": values["ALGO_IMAGE"], "digest": values["ALGO_CHECKSUM"]}
    algorithm["container"].pop("tag")
    code = algorithm["source"]["files"][0]
    code["url"]["url"] = f"{values['FILES_URL'].rstrip('/')}/{ALGORITHM}"
    code["sha256"] = hashlib.sha256((FLIGHTS / "algorithm.py").read_bytes()).hexdigest()
    return job


def beside(url: str, name: str) -> str:
    """Name another file in the folder of a URL."""
    return f"{url.rpartition('/')[0]}/{name}"


def publish_algorithm(stack: Stack) -> None:
    """Put the algorithm where loaders can fetch it, whole or not at all."""
    folder = Path(stack.values["FILES_DIR"])
    partial = folder / f".{ALGORITHM}"
    shutil.copyfile(FLIGHTS / "algorithm.py", partial)
    partial.replace(folder / ALGORITHM)


def say_what_happens(job: Mapping[str, Any]) -> None:
    """Say what will be computed on what, and where."""
    spec = job["spec"]
    container = spec["algorithm"]["container"]
    print(f"ComputeJob {job['metadata']['namespace']}/{job['metadata']['name']}")
    for dataset in spec["datasets"]:
        file = dataset["source"]["files"][0]
        print(
            f"  dataset    {dataset['id']:12} {file['url']['url']}  sha256:{file['sha256'][:12]}…"
        )
    code = spec["algorithm"]["source"]["files"][0]
    print(f"  algorithm  {spec['algorithm']['id']:12} {code['url']['url']}")
    print(f"  image      {container['image']}@{container['digest'][:19]}…")
    print(f"  entrypoint {container['entrypoint']}\n")


def follow(stack: Stack, name: str, limit: float) -> str:
    """Print every change of the job's conditions until it has ended; return its outcome.

    Raises:
        DemoError: It has not ended within the limit.
    """
    began = time.monotonic()
    seen: dict[str, tuple[str, str]] = {}
    for status in _statuses(stack, name, began + limit):
        for condition in status.get("conditions", ()):
            told = (condition["status"], condition["reason"])
            if seen.get(condition["type"]) != told:
                seen[condition["type"]] = told
                _print_change(condition, time.monotonic() - began)
        if "completionTime" in status:
            return str(status["phase"])
    raise DemoError(
        f"the job {name} has not ended within {limit:.0f} s; it goes on: `kubectl describe cjob"
        f" {name}`"
    )


def _print_change(condition: Mapping[str, str], seconds: float) -> None:
    ended_otherwise = condition["type"] in ("Complete", "Failed") and condition["status"] != "True"
    if ended_otherwise or condition["reason"] in ("Waiting", "NotReached"):
        return
    mark, color = MARKS["False" if condition["type"] == "Failed" else condition["status"]]
    text = (
        f"{seconds:6.1f} s  {mark} {condition['type']:18}  {condition['reason']:15}"
        f"  {printable(condition['message'])}"
    )
    text = text.rstrip()
    print(f"\x1b[{color}m{text}\x1b[0m" if sys.stdout.isatty() else text, flush=True)


def _statuses(stack: Stack, name: str, deadline: float) -> Iterator[dict[str, Any]]:
    """Watch the job's status, one line of JSON a change; a watch that breaks is begun anew."""
    command = stack.command(
        "get", "computejobs.computetodata.io", "--watch", "--output=jsonpath={.status}{'\\n'}", name
    )
    while (left := deadline - time.monotonic()) > 0:
        with subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as watch:
            alarm = threading.Timer(left, watch.kill)
            alarm.start()
            try:
                for line in watch.stdout or ():
                    if line.strip():
                        yield json.loads(line)
            finally:
                alarm.cancel()
                watch.kill()
        stack.job(name)  # tells why, where there is nothing more to watch
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))


def fetch(stack: Stack, name: str, into: Path) -> list[Any]:
    """Fetch the job's results and show what they are."""
    fetched = fetch_results(stack, name, into)
    show(fetched, into)
    return fetched


def _text(fetched: Mapping[str, Path], name: str) -> str:
    if name not in fetched:
        raise DemoError(f"the job has not published {name}")
    return fetched[name].read_text(errors="backslashreplace").rstrip()


def tell(summary: Mapping[str, Any]) -> None:
    """Print what the algorithm has found."""
    late = summary["late_minutes"]
    print(f"\nMean delay at departure, by scheduled hour ({summary['flights']:,} flights)")
    hours = summary["by_hour"].values()
    longest = max(row["mean_delay"] for row in hours)
    for hour, row in summary["by_hour"].items():
        bar = "█" * max(0, round(BAR * row["mean_delay"] / longest))
        print(f"  {int(hour):2}:00  {row['mean_delay']:5.1f} min  {bar}")
    print(f"\nMean delay by carrier, and the share that leaves over {late} minutes late")
    carriers = sorted(summary["by_carrier"].values(), key=lambda row: float(row["mean_delay"]))
    for row in carriers:
        print(
            f"  {printable(row['name']):28} {row['mean_delay']:5.1f} min  {row['late']:6.1%}"
            f"  of {row['flights']:6,}"
        )
    model = summary["model"]
    safest, riskiest = model["tenths"][0], model["tenths"][-1]
    print(f"\nA model of hour, month, carrier and airport, on {model['judged_on']:,} flights that")
    print(f"it has not seen, of which {model['late_overall']:.1%} left late:")
    print(f"  of the tenth that it calls safest,   {safest['late']:6.1%} left late")
    print(f"  of the tenth that it calls riskiest, {riskiest['late']:6.1%} left late")


def flights_of(job: Mapping[str, Any]) -> list[str]:
    """Fetch the table that the job was computed on, which must be that very table."""
    file = job["spec"]["datasets"][0]["source"]["files"][0]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(file["url"]["url"], timeout=SECONDS_TO_DOWNLOAD) as answer:
            data = bytes(answer.read())
    except OSError as error:
        raise DemoError(f"the table cannot be fetched from here: {error}") from None
    if hashlib.sha256(data).hexdigest() != file["sha256"]:
        raise DemoError("the table here is not the one that the job names")
    return data.decode().splitlines()


def compare(summary: Mapping[str, Any], lines: Sequence[str], late: float) -> None:
    """Compute the same figures without the cluster and compare them.

    Raises:
        DemoError: They differ.
    """
    for by, column in (("by_hour", "hour"), ("by_carrier", "carrier")):
        expected = figures(lines, column, late)
        found = summary[by]
        if sorted(found) != sorted(expected):
            raise DemoError(f"{by} has other keys than the table: {sorted(found)}")
        for key, figure in expected.items():
            for name, value in figure.items():
                if not math.isclose(found[key][name], value, rel_tol=1e-12, abs_tol=1e-12):
                    raise DemoError(
                        f"{by} {key}: the job says {name} is {found[key][name]}, the table {value}"
                    )
    print("\n✓ Every mean, count and share equals the one computed here, without the cluster")


def figures(lines: Sequence[str], column: str, late: float) -> dict[str, dict[str, float]]:
    """Count flights, their mean delay and the share that leaves late, by one column."""
    delays: dict[str, list[int]] = defaultdict(list)
    for row in csv.DictReader(lines):
        if row["dep_delay"] not in ("", "NA"):
            delays[row[column]].append(int(row["dep_delay"]))
    return {
        key: {
            "flights": len(group),
            "mean_delay": sum(group) / len(group),
            "late": sum(delay > late for delay in group) / len(group),
        }
        for key, group in delays.items()
    }


if __name__ == "__main__":
    sys.exit(main())
