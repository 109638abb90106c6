"""The documentation says what is there: names, links, tables, examples."""

import ast
import inspect
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import reference_tables
from c2d_api import workspace
from c2d_api.exits import LauncherExit, PodExit
from c2d_operator import environments, metrics, phases, settings
from c2d_operator import status as st
from c2d_operator.phases import loading
from c2d_operator.status import Reason
from c2d_pods.harvest import Limits
from c2d_provider import settings as provider_settings
from c2d_provider import telemetry
from c2d_provider.wire import v2_answers
from reference_tables import REFERENCE, ROOT

PAGES = sorted(chain.from_iterable(ROOT.glob(p) for p in ("*.md", "docs/**/*.md", "hack/*.md")))
TOPS = "operator|crds|provider_api|pod_images|manifests|hack|tests|docs|examples|requirements"
MADE_BY_THE_READER = "manifests/overlays/mine"
WORKFLOW = ROOT / "docs/explanation/workflow.md"
TRUST = ROOT / "docs/explanation/trust.md"
THREATS = ROOT / "docs/explanation/threats.md"
THREAT_COLUMNS = ["Try", "What stops it", "What remains", "Played by"]
WITHOUT_TABLE = ["What is trusted", "What is open"]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_PLACE = re.compile(rf"(?:{TOPS})/[\w./-]*")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def table(page: Path, *head: str) -> list[dict[str, str]]:
    """Read the table with these first columns."""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        titles = cells(line)
        if tuple(titles[: len(head)]) == head:
            next(lines)
            return [dict(zip(titles, cells(row), strict=True)) for row in _while_in_table(lines)]
    raise AssertionError(f"{name(page)} has no table {head}")


def _while_in_table(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def spans(cell: str) -> list[str]:
    return _SPAN.findall(cell)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def definitions(path: Path) -> set[str]:
    """List the functions and classes of a module, methods with their class."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in inner}
    return found


def missing(text: str) -> str | None:
    """Say what is wrong with the name of a file, or of something in it."""
    path, _, inside = text.replace("::", ":").partition(":")
    if not (ROOT / path).exists():
        return f"there is no {path}"
    if inside and inside not in definitions(ROOT / path):
        return f"{path} has no {inside}"
    return None


def places(text: str) -> list[str]:
    """List the names of files in code spans, with what is named in them."""
    return [
        span for span in spans(text) if re.fullmatch(rf"(?:{TOPS})/[\w./-]*(?:::?[\w.]+)?", span)
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{target} has no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            targets = (link.partition("#")[0] for link in _LINK.findall(prose(page)))
            waiting += [(page.parent / target).resolve() for target in targets if target]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_and_function_that_is_named_exists(page: Path) -> None:
    assert [wrong for text in places(prose(page)) if (wrong := missing(text))] == []
    for _, code in _FENCE.findall(page.read_text()):
        found = [path.rstrip(".") for path in _PLACE.findall(code) if path != MADE_BY_THE_READER]
        assert [path for path in found if missing(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_and_setting_that_is_named_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    code = "\n".join([*spans(prose(page)), *(c for _, c in _FENCE.findall(page.read_text()))])
    assert set(re.findall(r"^make ([a-z-]+)", code, re.MULTILINE)) <= targets
    known = set(settings_read()) | set(provider_settings_read())
    assert set(re.findall(r"C2D_[A-Z_]+", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_example_has_only_fields_that_exist(page: Path) -> None:
    for language, code in _FENCE.findall(page.read_text()):
        documents = yaml.safe_load_all(code) if language == "yaml" else ()
        for body in documents:
            kind = str(body.get("kind", "")).lower()
            if kind in reference_tables.KINDS:
                known = {path for path, _, _ in reference_tables.fields(spec_of(kind))}
                assert set(given(body["spec"])) <= known


def spec_of(kind: str) -> reference_tables.Json:
    return dict(reference_tables.schema(kind)["properties"]["spec"])


def given(value: object, path: str = "") -> Iterator[str]:
    """List the paths of the fields that are set."""
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            yield here
            yield from given(inner, here)
    elif isinstance(value, list):
        for inner in value:
            yield from given(inner, f"{path}[]")


@pytest.mark.parametrize("kind", reference_tables.KINDS)
def test_a_resources_page_has_the_tables_of_its_schema(kind: str) -> None:
    page = (REFERENCE / f"{kind}.md").read_text()
    assert sorted(reference_tables.marked(page)) == sorted(
        table for table in reference_tables.tables() if table.startswith(kind)
    )
    assert page == reference_tables.with_tables(page), "run: python tests/reference_tables.py"


def calls(module: ModuleType, prefix: str) -> Iterator[tuple[str, ast.Call]]:
    """List a module's calls whose first argument is a name with this prefix."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            first = str(node.args[0].value)
            if first.startswith(prefix):
                yield first, node


def settings_read() -> dict[str, tuple[str, str]]:
    """List the variables that the operator reads, with default and lowest value."""
    found = {}
    for variable, call in calls(settings, "C2D_"):
        values = [str(a.value) for a in call.args[1:] if isinstance(a, ast.Constant)]
        default, lowest = [*values, "", ""][:2]
        optional = {
            "C2D_POD_NAME": "made up",
            "C2D_PROVIDER_URL": "no provider",
            "C2D_IPFS_GATEWAY": "no gateway",
            "C2D_ARWEAVE_GATEWAY": "no gateway",
            "C2D_CANARY": "no canary",
        }
        absent = "required" if isinstance(call.func, ast.Name) else optional[variable]
        found[variable] = (f"`{default}`" if default else absent, lowest)
    return found


def test_the_settings_are_those_that_the_operator_reads() -> None:
    rows = table(REFERENCE / "settings.md", "Variable")
    told = {spans(row["Variable"])[0]: (row["If absent"], row["Lowest"]) for row in rows}
    assert told == settings_read()
    assert len(rows) == len(inspect.signature(settings.Settings).parameters)


def provider_settings_read() -> dict[str, tuple[str, str]]:
    """List the variables that the provider reads, with default and lowest value."""
    found = {}
    for variable, call in calls(provider_settings, "C2D_"):
        values = [str(a.value) for a in call.args[1:] if isinstance(a, ast.Constant)]
        kind = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if " " in variable:  # a problem, not a variable
            continue
        default, lowest = {
            "text": (values[0] if values else "required", ""),
            "number": (values[0], values[-1]) if kind == "number" else ("", ""),
            "choice": (values[0] if values else "", ""),
            "document": ("required", ""),
        }.get(kind, ("none", ""))
        found[variable] = (default, lowest)
    return found | dict.fromkeys(("C2D_PROVIDER_KEY_FILE", "C2D_RPC_URLS"), ("required", ""))


def test_the_settings_are_those_that_the_provider_reads() -> None:
    rows = table(REFERENCE / "provider-settings.md", "Variable")
    told = {spans(row["Variable"])[0]: (row["If absent"].strip("`"), row["Lowest"]) for row in rows}
    assert told == provider_settings_read()
    assert len(rows) == len(inspect.signature(provider_settings.Settings).parameters)


def test_the_metrics_are_those_that_the_provider_serves() -> None:
    rows = table(REFERENCE / "provider-settings.md", "Metric", "Labels")
    told = {spans(row["Metric"])[0].removesuffix("_total"): spans(row["Labels"]) for row in rows}
    assert told == {metric: labels(call) for metric, call in calls(telemetry, "c2d_provider_")}


def test_the_conditions_are_those_that_a_job_has() -> None:
    rows = table(REFERENCE / "conditions.md", "Condition", "True means")
    assert tuple(spans(row["Condition"])[0] for row in rows) == st.CONDITIONS
    told = {spans(row["Condition"])[0]: row["Phase while it is undecided"] for row in rows}
    assert {type_: f"`{phase}`" for type_, phase in st._PHASES.items()} == {
        type_: phase for type_, phase in told.items() if phase
    }


def test_every_reason_is_explained_once_and_on_conditions_that_exist() -> None:
    page = REFERENCE / "conditions.md"
    rows = [*table(page, "Reason", "On", "Meaning"), *table(page, "Reason", "On", "Ocean")]
    assert sorted(spans(row["Reason"])[0] for row in rows) == sorted(Reason)
    assert set(chain.from_iterable(spans(row["On"]) for row in rows)) <= set(st.CONDITIONS)


def test_every_failure_has_its_ocean_number() -> None:
    numbers = {reason: {ocean.number} for reason, ocean in st.FAILURES.items()}
    numbers[Reason.WORKSPACE_LOST] = {ocean.number for ocean in st.WORKSPACE_LOST.values()}
    numbers[Reason.STOPPED] = {st.FINISHED.number, st.FAILURES[Reason.ALGORITHM_FAILED].number}
    numbers[Reason.CLEANUP_STUCK] = set()
    rows = table(REFERENCE / "conditions.md", "Reason", "On", "Ocean")
    told = {
        Reason(spans(row["Reason"])[0]): {int(n) for n in row["Ocean"].split(", ") if n}
        for row in rows
    }
    assert told == numbers


def test_the_ocean_numbers_have_their_texts() -> None:
    rows = table(REFERENCE / "conditions.md", "Number", "Text")
    known = {thing for thing in vars(st).values() if isinstance(thing, st.Ocean)}
    assert [(int(row["Number"]), row["Text"]) for row in rows] == sorted(
        (ocean.number, ocean.text) for ocean in known
    )


def test_the_exit_codes_are_those_of_the_pods() -> None:
    rows = table(REFERENCE / "conditions.md", "Pod", "Code")
    told = [(int(row["Code"]), spans(row["Name"])[0]) for row in rows]
    assert told == [(code.value, code.name) for code in (*PodExit, *LauncherExit)]


def test_the_reasons_of_an_environment_are_those_of_the_code() -> None:
    rows = table(REFERENCE / "computeenvironment.md", "Condition", "Status")
    read = {
        node.value.value
        for node in ast.walk(ast.parse(inspect.getsource(environments)))
        if isinstance(node, ast.keyword)
        and node.arg == "reason"
        and isinstance(node.value, ast.Constant)
    }
    assert {spans(row["Reason"])[0] for row in rows} == read
    assert {spans(row["Condition"])[0] for row in rows} == {
        environments.READY,
        environments.NETWORK_ISOLATED,
    }


def test_the_metrics_are_those_that_the_operator_serves() -> None:
    rows = table(REFERENCE / "metrics.md", "Metric", "Kind")
    told = {spans(row["Metric"])[0].removesuffix("_total"): spans(row["Labels"]) for row in rows}
    served = {metric: labels(call) for metric, call in calls(metrics, "c2d_")}
    assert told == served


def labels(call: ast.Call) -> list[str]:
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    lists = [ast.literal_eval(value) for value in values if isinstance(value, ast.List)]
    return [str(label) for label in chain.from_iterable(lists)]


def test_the_folders_are_those_of_the_workspace() -> None:
    rows = table(REFERENCE / "workspace.md", "Path", "Algorithm may")
    told = {spans(row["Path"])[0]: row["Algorithm may"] for row in rows}
    folders = {f"{workspace.VOLUME}/{name}": "read" for name in workspace.READ_ONLY}
    folders |= {f"{workspace.VOLUME}/{name}": "write" for name in workspace.WRITABLE}
    files = (workspace.CUSTOM_DATA, workspace.ALGORITHM)
    assert told == folders | {f"{workspace.VOLUME}/{path}": "read" for path in files}


def test_the_variables_are_those_that_an_algorithm_gets() -> None:
    rows = table(REFERENCE / "workspace.md", "Variable", "Value")
    told = {spans(row["Variable"])[0]: row["Value"].strip("`") for row in rows}
    real = workspace.algorithm_variables((), "", "secret")
    assert set(told) == set(real)
    fixed = {key: value for key, value in real.items() if value.startswith("/")}
    assert {key: told[key] for key in fixed} == fixed


def test_the_limits_are_those_of_the_publisher() -> None:
    page, limits = " ".join((REFERENCE / "workspace.md").read_text().split()), Limits()
    assert f"{limits.files:,} files, {limits.total_bytes // 2**30} GiB altogether" in page
    assert f"folders {limits.depth} deep, paths of {limits.path_bytes:,} bytes" in page
    assert f"{limits.all_name_bytes // 2**20} MiB of names" in page
    assert f"a file of {limits.file_bytes // 2**30} GiB" in page
    assert f"ends at {limits.log_bytes // 2**20} MiB" in page


def test_the_number_of_loaders_is_right() -> None:
    words = {5: "five"}[loading.MAX_ATTEMPTS]
    page = (REFERENCE / "conditions.md").read_text()
    assert f"{words} loaders failed" in page
    assert f"up to {words} times" in page


def test_the_workflow_names_every_published_step_once() -> None:
    rows = list(
        chain.from_iterable(rows for rows in workflow_tables() if "Published step" in rows[0])
    )
    assert [row["Step"] for row in rows] == [str(number) for number in range(1, 37)]


def test_the_workflow_shows_code_and_test_of_each_step_that_is_there() -> None:
    for row in chain.from_iterable(workflow_tables()):
        assert set(spans(row["Condition"])) <= set(st.CONDITIONS), row["Step"]
        assert bool(row["Code"]) == bool(row["Test"]), row["Step"]
        assert all(":" in place for place in places(row["Code"])), row["Step"]
        assert spans(row["Test"]) == [test for test in places(row["Test"]) if "::test_" in test]


def workflow_tables() -> list[list[dict[str, str]]]:
    found, lines = [], iter(WORKFLOW.read_text().splitlines())
    for line in lines:
        if line.startswith("| Step "):
            next(lines)
            titles = cells(line)
            rows = _while_in_table(lines)
            found.append([dict(zip(titles, cells(row), strict=True)) for row in rows])
    return found


def sections(page: Path) -> dict[str, str]:
    """Read a page's sections by their titles."""
    _, *found = re.split(r"^## (.*)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


@pytest.mark.parametrize("page", [THREATS, TRUST], ids=name)
def test_every_test_that_threats_and_trust_name_exists(page: Path) -> None:
    named = [span for span in spans(page.read_text()) if "::" in span or span.startswith("test_")]
    assert named
    assert [text for text in named if text not in places(f"`{text}`")] == []
    assert [wrong for text in named if (wrong := missing(text))] == []


def test_each_attacker_has_a_table_of_four_columns() -> None:
    found = sections(THREATS)
    assert list(found)[-2:] == WITHOUT_TABLE
    for title, text in found.items():
        lines = [line for line in text.splitlines() if line.startswith("|")]
        if title in WITHOUT_TABLE:
            assert lines == [], title
            continue
        head, rule, *rows = map(cells, lines)
        assert head == THREAT_COLUMNS, title
        assert rule == ["---"] * len(THREAT_COLUMNS), title
        for row in rows:
            assert len(row) == len(THREAT_COLUMNS), row
            what, stops, _, played = row
            assert what, row
            assert stops, row
            assert (
                played == "no test"
                or spans(played) == [test for test in places(played) if "::test_" in test] != []
            ), row


def test_every_phase_stands_in_the_picture_of_the_readme() -> None:
    (picture, *_) = (
        code for lang, code in _FENCE.findall((ROOT / "README.md").read_text()) if lang == "text"
    )
    for condition in st.CONDITIONS:
        assert condition in picture
    assert len(list(Path(str(phases.__file__)).parent.glob("[a-z]*.py"))) == len(st.STEPS) - 1


def test_every_code_of_a_refused_start_says_what_to_do() -> None:
    rows = table(ROOT / "docs/how-to/publish-and-buy.md", "Code", "What to do")
    assert {row["Code"].strip("`") for row in rows} == v2_answers.CODES
