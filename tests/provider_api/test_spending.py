"""Spent fees: one fee, one job, also for two replicas and after a failure that was nobody's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_provider.naming import paid_job_name
from c2d_provider.orders import PaidFee, payment
from c2d_provider.refusals import Reason, Refusal, Refused
from c2d_provider.spending import Ledger, decode, free, spend

NOW = 1_800_000_000
CHAIN = 8996
KEY = "0x" + "aa" * 32 + "-1"
FEE = PaidFee(KEY, "0x" + "44" * 20, 10, 600, NOW + 100)


def spent(ledger: Ledger, fee: PaidFee = FEE, now: int = NOW) -> tuple[Ledger, str]:
    found = spend(ledger, CHAIN, fee, now)
    assert isinstance(found, tuple), found
    return found


def test_a_fee_pays_for_one_job() -> None:
    ledger, job = spent(Ledger())
    assert job == paid_job_name(CHAIN, KEY, 0)
    refusal = spend(ledger, CHAIN, FEE, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.FEE_SPENT
    assert ledger.spent() == {KEY}


def test_another_fee_pays_for_another_job() -> None:
    ledger, one = spent(Ledger())
    ledger, other = spent(ledger, PaidFee(KEY + "0", FEE.token, 10, 600, NOW + 100))
    assert one != other
    assert len(ledger.spendings) == 2


def test_two_replicas_make_one_job_of_it() -> None:
    """Both start from the same ledger: only one write lands, and the names are the same."""
    assert spent(Ledger()) == spent(Ledger())


def test_a_freed_fee_pays_for_one_more_attempt() -> None:
    ledger, first = spent(Ledger())
    ledger = free(ledger, first)
    assert ledger.spent() == frozenset()
    ledger, second = spent(ledger)
    assert second == paid_job_name(CHAIN, KEY, 1)
    assert free(ledger, first) == ledger  # the failure of the first job frees nothing again
    assert isinstance(spend(ledger, CHAIN, FEE, NOW), Refusal)


def test_freeing_a_job_that_nobody_paid_for_changes_nothing() -> None:
    ledger, _ = spent(Ledger())
    assert free(ledger, "0" * 32) == ledger


@pytest.mark.parametrize(("later", "kept"), [(0, True), (100, True), (101, False)])
def test_a_spending_is_kept_as_long_as_its_fee_could_start_a_job(later: int, kept: bool) -> None:
    ledger, _ = spent(Ledger())
    other = PaidFee("0x" + "bb" * 32 + "-1", FEE.token, 10, 600, NOW + 10**6)
    ledger, _ = spent(ledger, other, NOW + later)
    assert (KEY in ledger.spendings) == kept


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12))
def test_no_history_makes_two_jobs_of_one_name(history: list[tuple[int, bool]]) -> None:
    ledger, jobs = Ledger(), []
    for number, fails in history:
        fee = PaidFee(f"{KEY}{number}", FEE.token, 10, 600, NOW + 100)
        found = spend(ledger, CHAIN, fee, NOW)
        if isinstance(found, Refusal):
            continue
        ledger, job = found
        jobs.append(job)
        ledger = decode((free(ledger, job) if fails else ledger).encode())
    assert len(set(jobs)) == len(jobs)


@pytest.mark.parametrize("text", ["", "job", "job 0 1", "job 0 1 0 0", "job x 1 0", "job 0 -1 0"])
def test_a_broken_ledger_is_no_empty_ledger(text: str) -> None:
    with pytest.raises(Refused):
        decode({KEY: text})


def test_the_fees_left_are_asked_for_with_the_spent_ones() -> None:
    ledger, _ = spent(Ledger())
    assert isinstance(payment([], ledger.spent()), Refusal)
