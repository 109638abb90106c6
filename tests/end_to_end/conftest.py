"""The cluster that `make up` has brought up; without one every test here fails."""

import secrets
from collections.abc import Generator, Iterator

import pytest

from end_to_end.cluster import Run
from end_to_end.market import Market
from results import ResultsError, running_stack


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    try:
        stack = running_stack()
        stack.kubectl("wait", "--for=condition=Ready", f"cenv/{stack.values['ENVIRONMENT']}")
    except ResultsError as error:
        pytest.fail(f"The end-to-end tests need a running cluster. {error}", pytrace=False)
    run = Run(stack, secrets.token_hex(3), tmp_path_factory.mktemp("results"))
    try:
        run.create_environment("tests")
        yield run
    finally:
        run.remove()


@pytest.fixture(scope="module")
def market(run: Run) -> Iterator[Market]:
    """A consumer of a module's own, whose jobs are deleted at its end."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    market = Market(run.stack)
    try:
        yield market
    finally:
        market.clean_up()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the jobs of a failed test say, and forget them before the next one."""
    report = yield
    run = getattr(item, "funcargs", {}).get("run")
    if isinstance(run, Run):
        if report.failed:
            report.sections.append(("jobs", run.diagnosis()))
        if report.when == "teardown":
            run.touched.clear()
    return report
