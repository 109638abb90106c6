"""Kubernetes quantities as numbers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_api.quantities import parse_quantity, total_cpu, total_size


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("2", 2),
        ("500m", Fraction(1, 2)),
        ("0.001", Fraction(1, 1000)),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("3M", 3_000_000),
        ("2Mi", 2**21),
        ("1G", 10**9),
        ("1T", 10**12),
        ("999999999999999.999Ti", Fraction(999999999999999999 * 2**40, 1000)),
    ],
)
def test_a_quantity_is_exact(text: str, number: Fraction | int) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "m", "Gi", "-1", "+1", "1e3", "1 Gi", "1Gi\n", "1K", "1mi", "1.", ".5", "1_0", "٣", "inf"],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as 500m or 2Gi"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("quantities", "total"),
    [
        ([], "0"),
        (["1", "2"], "3"),
        (["500m", "500m"], "1"),
        (["500m", "1"], "1500m"),
        (["0.25", "0.5"], "750m"),
        (["0.0005"], "1m"),
    ],
)
def test_cores_are_added_up(quantities: list[str], total: str) -> None:
    assert total_cpu(quantities) == total


@pytest.mark.parametrize(
    ("quantities", "total"),
    [
        ([], "0"),
        (["512Mi", "512Mi"], "1Gi"),
        (["1Gi", "1Mi"], "1025Mi"),
        (["1Ti"], "1Ti"),
        (["1k", "24"], "1Ki"),
        (["1G"], "1000000000"),
    ],
)
def test_sizes_are_added_up(quantities: list[str], total: str) -> None:
    assert total_size(quantities) == total


@given(st.lists(st.from_regex(r"[0-9]{1,6}(Ki|Mi|Gi)", fullmatch=True)))
def test_a_total_is_exact(quantities: list[str]) -> None:
    assert parse_quantity(total_size(quantities)) == sum(map(parse_quantity, quantities))


@given(st.integers(0, 10**15), st.sampled_from(["k", "M", "G", "T"]))
def test_binary_units_are_larger_than_decimal_ones(number: int, unit: str) -> None:
    binary = unit.upper() + "i"
    assert parse_quantity(f"{number}{binary}") >= parse_quantity(f"{number}{unit}") >= number
