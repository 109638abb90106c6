"""`make bench`: measure, print, and with `--write` put the figures into the documentation."""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import alone, transfers, whole_job
from bench.figures import Figure, machine, table, write
from local_stack.console import say
from results import running_stack

_PAGE = Path(__file__).resolve().parents[2] / "docs/explanation/figures.md"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(_ROWS)}; else all")
    parser.add_argument("--write", action="store_true", help=f"into {_PAGE.name}; takes all rows")
    arguments = parser.parse_args()
    rows = arguments.rows or list(_ROWS)
    figures: list[Figure] = []
    for row in rows:
        say(f"Measuring: {row}")
        figures += _ROWS[row]()
    print(f"\n{machine()}\n\n{table(figures)}")
    if arguments.write and rows == list(_ROWS):
        write(_PAGE, figures)


def _whole_job() -> list[Figure]:
    return whole_job.measure(running_stack())


def _alone() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="c2d-bench-") as folder:
        return alone.measure(Path(folder) / "cluster")


def _in_folder(row: Callable[[Path], list[Figure]]) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="c2d-bench-") as folder:
        return row(Path(folder))


_ROWS: dict[str, Callable[[], list[Figure]]] = {
    "whole-job": _whole_job,
    "alone": _alone,
    "loading": partial(_in_folder, transfers.loading),
    "loading-cut": partial(_in_folder, transfers.cut_off),
    "publishing": partial(_in_folder, transfers.publishing),
}

if __name__ == "__main__":
    main()
