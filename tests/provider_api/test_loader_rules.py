"""Who may ask for a job's assets: its own loader, made by the operator, at its time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import chain_facts as chain
from asked_job import ALGORITHM, CALLER, DATASET, GOOD, JOB, LABELS, resealed, with_spec
from c2d_api.asset_request import AssetRequest
from c2d_api.computejob import ComputeJob, Order, Status
from c2d_operator import status as st
from c2d_provider.loader_rules import RULES, Denial, judge, wanted
from fakes import START


def recorded(condition: str, value: str) -> ComputeJob:
    status = st.record(JOB.status, condition, value, "x", "", START, 1)  # type: ignore[arg-type]  # a wide type of the table
    return replace(JOB, status=status)


def without(label: str) -> dict[str, str]:
    return {key: value for key, value in LABELS.items() if key != f"computetodata.io/{label}"}


def relabelled(label: str, value: str) -> dict[str, str]:
    return {**LABELS, f"computetodata.io/{label}": value}


CREATED = int(START.timestamp())
_LATE = Order(8996, chain.TRANSACTION, CREATED - 1)
DATASETS = JOB.spec.datasets
NOT_LOADER = "only the loader of a job may ask for its assets"


def test_the_loader_that_the_operator_made_may_ask() -> None:
    assert judge(GOOD) is None


ROWS: list[tuple[str, dict[str, Any], int, str]] = [
    ("a request for another namespace", {"request": AssetRequest("x", "sum", 2)}, 403, NOT_LOADER),
    ("a request for another job", {"request": AssetRequest("jobs", "x", 2)}, 403, NOT_LOADER),
    ("a pod of another namespace", {"caller": replace(CALLER, namespace="x")}, 403, NOT_LOADER),
    ("a job of another namespace", {"job": replace(JOB, namespace="x")}, 403, NOT_LOADER),
    (
        "another account",
        {"caller": replace(CALLER, service_account="small-algorithm")},
        403,
        NOT_LOADER,
    ),
    (
        "the account of another environment's loader",
        {"caller": replace(CALLER, service_account="large-loader")},
        403,
        NOT_LOADER,
    ),
    ("another pod's name", {"caller": replace(CALLER, pod_name="sum-loader-1")}, 403, NOT_LOADER),
    ("a pod of any name", {"caller": replace(CALLER, pod_name="mine")}, 403, NOT_LOADER),
    *(
        (f"a pod without the label {label}", {"labels": without(label)}, 403, NOT_LOADER)
        for label in ("job", "job-uid", "phase", "attempt", "environment")
    ),
    (
        "the loader of a former job",
        {"labels": relabelled("job-uid", "former")},
        403,
        NOT_LOADER,
    ),
    ("the publisher", {"labels": relabelled("phase", "publishing")}, 403, NOT_LOADER),
    ("another attempt's labels", {"labels": relabelled("attempt", "1")}, 403, NOT_LOADER),
    ("a job without a seal", {"job": replace(JOB, seal=None)}, 403, "not created by this"),
    ("a seal of another", {"seal_key": b"l" * 32}, 403, "not created by this provider"),
    (
        "a spec that was changed",
        {"job": with_spec(datasets=DATASETS * 2)},
        403,
        "was changed since",
    ),
    ("no consumer", {"job": resealed(consumer=None)}, 403, "names no consumer"),
    (
        "a dataset without an order",
        {"job": resealed(datasets=(*DATASETS, replace(DATASETS[0], order=None)))},
        403,
        "no order for an asset",
    ),
    (
        "an algorithm without an order",
        {"job": resealed(algorithm=replace(JOB.spec.algorithm, order=None))},
        403,
        "no order for an asset",
    ),
    (
        "nothing of the provider",
        {"job": resealed(datasets=(), algorithm=replace(JOB.spec.algorithm, from_provider=False))},
        403,
        "no order for an asset",
    ),
    (
        "a job that was created too late",
        {"job": resealed(datasets=(replace(DATASETS[0], order=_LATE),))},
        403,
        "after its orders had ended",
    ),
    ("a job that is being deleted", {"job": replace(JOB, deleting=True)}, 403, "being deleted"),
    ("a job that was stopped", {"job": with_spec(stop="Requested")}, 403, "was stopped"),
    ("a job that is complete", {"job": recorded(st.COMPLETE, "True")}, 403, "has ended"),
    ("a job that failed", {"job": recorded(st.FAILED, "True")}, 403, "has ended"),
    ("a loaded job", {"job": recorded(st.ASSETS_LOADED, "True")}, 403, "were loaded before"),
    ("a failed loading", {"job": recorded(st.ASSETS_LOADED, "False")}, 403, "were loaded before"),
    ("a run that ended", {"job": recorded(st.ALGORITHM_COMPLETED, "False")}, 403, "loaded before"),
    ("a suspended job", {"job": with_spec(suspend=True)}, 409, "suspended"),
    ("a job that waits", {"job": recorded(st.ADMITTED, "Unknown")}, 409, "no place yet"),
    ("a job that nobody has seen", {"job": replace(JOB, status=Status())}, 409, "no place yet"),
    (
        "a former attempt",
        {"job": replace(JOB, status=replace(JOB.status, loading_attempt=3))},
        409,
        "another attempt",
    ),
]


@pytest.mark.parametrize(
    ("change", "status", "words"), [pytest.param(*row[1:], id=row[0]) for row in ROWS]
)
def test_nobody_else_may(change: dict[str, Any], status: int, words: str) -> None:
    denied = judge(replace(GOOD, **change))
    assert isinstance(denied, Denial)
    assert denied.status == status
    assert words in denied.message


def test_every_rule_is_broken_by_some_row() -> None:
    seen = {judge(replace(GOOD, **change)) for _, change, _, _ in ROWS}
    assert {denied.message for denied in seen if denied} == {rule.message for rule in RULES}
    alone = {
        rule.name
        for rule in RULES
        for _, change, _, _ in ROWS
        if not rule.holds(replace(GOOD, **change))
    }
    assert alone == {rule.name for rule in RULES}


def test_the_last_moment_of_an_order_is_in_time() -> None:
    late = replace(JOB, created=START + timedelta(seconds=1))
    assert judge(GOOD) is None
    assert judge(replace(GOOD, job=late)) == Denial(
        next(rule.status for rule in RULES if rule.name == "the job was created in time"),
        "the job was created after its orders had ended",
    )


def test_what_is_wanted_are_the_providers_assets_with_their_places() -> None:
    public = replace(DATASETS[0], from_provider=False, order=None)
    job = with_spec(datasets=(public, DATASETS[0]))
    assert [(one.kind, one.position, one.did) for one in wanted(job)] == [
        ("algorithm", 0, ALGORITHM),
        ("dataset", 1, DATASET),
    ]
