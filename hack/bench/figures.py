"""A figure: what was measured, against which target, and how it is printed."""

import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_BEGIN, _END = "<!-- figures -->\n", "<!-- end -->"


@dataclass(frozen=True)
class Figure:
    """One row; a value is good if it is at most its target, in the same unit."""

    what: str
    value: float
    target: float
    unit: str
    detail: str = ""

    def cells(self) -> tuple[str, ...]:
        """Write the row: the figure, the target, and how many targets the figure is."""
        ratio = f"{self.value / self.target:.2f}"
        value, target = (f"{one:.4g} {self.unit}".strip() for one in (self.value, self.target))
        return self.what, value, target, ratio, self.detail


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Say how far values lie apart."""
    low, middle, high = min(values), median(values), max(values)
    return f"{low:.3g} / {middle:.3g} / {high:.3g} {unit}, {len(values)} times"


def table(figures: Iterable[Figure]) -> str:
    """Write figures as a table of Markdown."""
    head = ("What", "Measured", "Target, at most", "Of the target", "Least / median / most")
    rows = [head, ("---",) * len(head), *(figure.cells() for figure in figures)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def machine() -> str:
    """Describe this machine in a line."""
    models = [line for line in _CPUINFO.read_text().splitlines() if line.startswith("model name")]
    memory = int(_MEMINFO.read_text().split()[1]) / 2**20
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{len(models)} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}"


def write(page: Path, figures: Sequence[Figure]) -> None:
    """Replace the figures on a page, with the machine and the date."""
    text = page.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    today = datetime.now(UTC).date().isoformat()
    said = f"Measured on {today} with {machine()}.\n\n{table(figures)}"
    page.write_text(f"{before}{_BEGIN}{said}{_END}{after}")
