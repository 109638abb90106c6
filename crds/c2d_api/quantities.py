"""Kubernetes quantities (`500m`, `2Gi`) as exact numbers."""

import math
import re
from collections.abc import Iterable
from fractions import Fraction

_SUFFIXES = {
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T"))},
    **{
        suffix: Fraction(1024) ** (power + 1)
        for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti"))
    },
    "m": Fraction(1, 1000),
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(|m|[kMGT]|[KMGT]i)")


def parse_quantity(text: str) -> Fraction:
    """Read a quantity of the form that the schema admits: digits, a fraction, one suffix.

    Raises:
        ValueError: It has another form.
    """
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a quantity such as 500m or 2Gi")
    return Fraction(found[1]) * _SUFFIXES[found[2]]


def total_cpu(quantities: Iterable[str]) -> str:
    """Add up numbers of cores; parts of a core are written in thousandths."""
    cores = sum(map(parse_quantity, quantities), Fraction(0))
    return str(cores) if cores.denominator == 1 else f"{math.ceil(cores * 1000)}m"


def total_size(quantities: Iterable[str]) -> str:
    """Add up sizes, written with the greatest binary suffix that keeps them whole."""
    size = math.ceil(sum(map(parse_quantity, quantities), Fraction(0)))
    for suffix in ("Ti", "Gi", "Mi", "Ki"):
        if size and size % _SUFFIXES[suffix] == 0:
            return f"{size // _SUFFIXES[suffix]}{suffix}"
    return str(size)
