"""The whole workflow: publish, order, start, watch, download, and check what was found.

A publisher publishes all flights that left New York in 2013, the names of the carriers, and an
algorithm, which alone may come to them; it brings back when, and with whom, one leaves on time.
A consumer orders all three on chain, starts a job at the provider, watches it, and downloads its
results, which are compared with the same figures, computed here without the cluster.
It speaks HTTP with the provider, sends transactions to the chain, and reads the job's conditions
with kubectl, as the cluster's admin would.
"""
# ruff: noqa: INP001, T201 - it stands alone, and its terminal output is what it is for

import argparse
import csv
import json
import math
import os
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

from marketplace import Asset, MarketError, Provider, Trader

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "hack"))

from results import ResultsError, Stack, printable, running_stack  # noqa: E402 - after the line above

FLIGHTS = ROOT / "examples" / "flights"
PARAMETERS = {"late_minutes": 15, "unseen_every": 5}
NEEDED = (
    *("PROVIDER_URL", "RPC_URL", "ADDRESS_FILE", "PUBLISHER_PRIVATE_KEY", "CONSUMER_PRIVATE_KEY"),
    *("DATA_URL", "FILES_URL", "FILES_DIR", "ALGO_IMAGE", "ALGO_TAG", "ALGO_CHECKSUM"),
)
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
    except (DemoError, MarketError, ResultsError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the job goes on: `kubectl get cjob --watch`", file=sys.stderr)
        return 130
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="examples/demo.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--limit", type=float, default=300, metavar="SECONDS", help="how long the job may take"
    )
    parser.add_argument(
        "--into", type=Path, help="the folder for results; .local/demo/JOB if absent"
    )
    return parser.parse_args(arguments)


def _run(stack: Stack, options: argparse.Namespace) -> None:
    values = {name: os.environ.get(name, stack.values.get(name, "")) for name in NEEDED}
    if missing := [name for name, value in values.items() if not value]:
        raise DemoError(f"set {', '.join(missing)}: the stack does not name them")
    provider = Provider(f"{values['PROVIDER_URL']}/v2")
    publisher, consumer = (
        Trader(provider, values["RPC_URL"], Path(values["ADDRESS_FILE"]), values[key])
        for key in ("PUBLISHER_PRIVATE_KEY", "CONSUMER_PRIVATE_KEY")
    )
    print(f"Provider {provider.url}\n\nPublisher {publisher.account.address}")
    datasets, algorithm = publish(publisher, values, consumer.account.address)
    print(f"\nConsumer {consumer.account.address}")
    job = buy(consumer, datasets, algorithm, f"{stack.namespace}.{stack.values['ENVIRONMENT']}")
    outcome = follow(stack, job, options.limit)
    told = consumer.job(job)
    print(f"\nThe provider says: {told['status']} {told['statusText']}")
    into = options.into or ROOT / ".local" / "demo" / job
    fetched = {path.name: path for path in consumer.results(job, into)}
    for path in fetched.values():
        print(f"  downloaded {path} ({path.stat().st_size:,} bytes)")
    print("\nalgorithm.log")
    print("\n".join(f"  {printable(line)}" for line in _text(fetched, "algorithm.log").split("\n")))
    if outcome != "Complete":
        raise DemoError(f"the job {job} ended as {outcome}: `kubectl describe cjob {job}`")
    summary = json.loads(_text(fetched, "summary.json"))
    tell(summary)
    compare(summary, table(values["DATA_URL"]), summary["late_minutes"])
    print(f"The plot is {fetched['delays.png']}")


def publish(
    publisher: Trader, values: Mapping[str, str], consumer: str
) -> tuple[list[Asset], Asset]:
    """Publish the algorithm, and two datasets that let it come; give the consumer their tokens."""
    name = f"flights-{secrets.token_hex(8)}.py"
    shutil.copyfile(FLIGHTS / "algorithm.py", Path(values["FILES_DIR"]) / name)
    container = {
        "image": values["ALGO_IMAGE"],
        "tag": values["ALGO_TAG"],
        "checksum": values["ALGO_CHECKSUM"],
        "entrypoint": "python $ALGO",
    }
    described = {"language": "python", "version": "1.0.0", "container": container}
    metadata = {"type": "algorithm", "algorithm": described}
    algorithm = publisher.publish("When to fly", f"{values['FILES_URL']}/{name}", metadata)
    print(f"  published algorithm {algorithm.did}", flush=True)
    terms = {
        "allowRawAlgorithm": False,
        "allowNetworkAccess": False,
        "publisherTrustedAlgorithms": [publisher.trusted(algorithm, container)],
        "publisherTrustedAlgorithmPublishers": [],
    }
    datasets = []
    for title, url in (
        ("Flights", values["DATA_URL"]),
        ("Carriers", beside(values["DATA_URL"], "airlines.csv")),
    ):
        datasets.append(publisher.publish(title, url, {"type": "dataset"}, terms))
        print(f"  published dataset   {datasets[-1].did}  {title}", flush=True)
    for asset in (*datasets, algorithm):
        publisher.give(asset, consumer)
    return datasets, algorithm


def beside(url: str, name: str) -> str:
    """Name another file in the folder of a URL."""
    return f"{url.rpartition('/')[0]}/{name}"


def buy(consumer: Trader, datasets: Sequence[Asset], algorithm: Asset, name: str) -> str:
    """Order everything, and start a job with it."""
    environment = consumer.environment(name)
    orders = consumer.order(datasets, algorithm, environment)
    for order in orders:
        print(f"  ordered in          {order}")
    job = consumer.start(datasets, algorithm, orders, environment, PARAMETERS)
    print(f"  started job         {job}  in {name}\n", flush=True)
    return job


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


def table(url: str) -> list[str]:
    """Fetch the table that the job was computed on."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=SECONDS_TO_DOWNLOAD) as answer:
            data = bytes(answer.read())
    except OSError as error:
        raise DemoError(f"the table cannot be fetched from here: {error}") from None
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
