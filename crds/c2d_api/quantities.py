"""Kubernetes quantities (`500m`, `2Gi`) as exact numbers."""

import re
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
