"""Algorithms as people write them: Ocean's own packages, shell lines, images without a shell."""

import json
import re

import pytest

from end_to_end.cluster import Run, dataset, inline

DID = "d4" * 32
JOB_DETAILS = """\
from oceanprotocol_job_details import load_job_details
from pydantic import BaseModel

class Parameters(BaseModel):
    factor: int

details = load_job_details(Parameters).read()
total = sum(int(path.read_text()) for _, path in details.inputs())
name = next(iter(details.metadata.values())).metadata.name
(details.paths.outputs / "total.txt").write_text(
    f"{name}: {total * details.input_parameters.factor}"
)
"""
RUNNER = """\
from pathlib import Path
from pydantic import BaseModel
from ocean_runner import Algorithm, Config

class Parameters(BaseModel):
    suffix: str

algorithm = Algorithm.create(Config(custom_input=Parameters))

@algorithm.run
def run(algorithm):
    details = algorithm.job_details
    words = [path.read_text() for _, path in sorted(details.inputs())]
    algorithm.logger.info("joining %s words", len(words))
    return "-".join(words) + details.input_parameters.suffix

@algorithm.save_results
def save(algorithm, result, base: Path):
    (base / "joined.txt").write_text(result)

if __name__ == "__main__":
    algorithm()
"""
SHELL = (
    """echo "a b" | tr a-z A-Z && printf '%s\\n' 'c  d' "$INPUTS"; false || echo second; """
    """echo $(cat $ALGO) $((1 + 2)) '$(INPUTS)' '$$' `echo back`; """
    """for one in 1 2; do echo "n$one"; done; [ $$ -gt 1 ] && echo "a shell of its own"; """
    """echo to the error stream >&2"""
)
NESTED = """\
cd "$OUTPUTS"
mkdir -p deep/er empty-folder
echo one > top.txt
echo two > deep/er/two.txt
: > deep/nothing.bin
echo three > "two words.txt"
echo four > grüße.txt
echo five > "line
break.txt"
ln -s /etc/passwd link.txt
ln -s /data/inputs inputs
mkfifo pipe
"""
PYTHON = {"resources": {"memory": "512Mi", "cpu": "200m"}}


@pytest.fixture(scope="module", autouse=True)
def jobs(run: Run) -> None:
    blank = dict.fromkeys(("description", "author", "license"), "")
    ddo = {"id": f"did:op:{DID}", "metadata": {"name": "numbers", "type": "dataset", **blank}}
    did = f"did:op:{DID}"
    run.start(
        details=run.job(
            "python3 $ALGO",
            dataset(did, inline("20"), inline("1"), ddo=json.dumps(ddo)),
            image="ALGO",
            algorithm={
                "id": f"did:op:{'e5' * 32}",
                "source": {"files": [inline(JOB_DETAILS)]},
                "customData": '{"factor": 2}',
            },
            spec=PYTHON,
        ),
        runner=run.job(
            "python $ALGO",
            dataset(did, inline("to"), inline("gether")),
            image="ALGO",
            code=RUNNER,
            algorithm={"customData": '{"suffix": "!"}'},
            spec=PYTHON,
        ),
        shell=run.job(SHELL, code="raw code"),
        three=run.job(
            'echo before the end; echo partial > "$OUTPUTS/partial.txt"; exit 3',
        ),
        nested=run.job("sh $ALGO", code=NESTED),
        silent=run.job("true"),
        noshell=run.job("algorithm", dataset("data", inline("1")), image="NOSHELL"),
        noshell_failing=run.job("/bin/algorithm 7 && echo unreachable", image="NOSHELL"),
    )


def test_an_algorithm_with_job_details_runs_unchanged(run: Run) -> None:
    ended = run.finished("details")
    assert ended.outcome == ("Complete", "Succeeded"), ended.text("algorithm.log")
    assert ended.text("total.txt") == "numbers: 42"


def test_an_algorithm_of_ocean_runner_runs_unchanged(run: Run) -> None:
    ended = run.finished("runner")
    assert ended.outcome == ("Complete", "Succeeded"), ended.text("algorithm.log")
    assert ended.text("joined.txt") == "to-gether!"
    assert "joining 2 words" in ended.text("algorithm.log")


def test_the_entrypoint_is_a_line_for_a_shell(run: Run) -> None:
    ended = run.finished("shell")
    assert ended.outcome == ("Complete", "Succeeded")
    assert sorted(ended.lines("algorithm.log")) == sorted(
        [
            "A B",
            "c  d",
            "/data/inputs",
            "second",
            "raw code 3 $(INPUTS) $$ back",
            "n1",
            "n2",
            "a shell of its own",
            "to the error stream",
        ]
    )


def test_a_failing_algorithm_keeps_its_exit_code_and_its_partial_outputs(run: Run) -> None:
    ended = run.finished("three")
    assert ended.outcome == ("Failed", "AlgorithmFailed")
    assert ended.message == "the algorithm ended with exit code 3"
    assert ended.status["terminationDetails"] == {"exitCode": 3, "oomKilled": False}
    assert ended.status["ocean"] == {"status": 41, "statusText": "Failed to run algorithm"}
    assert ended.conditions["ResultsPublished"]["status"] == "True"
    assert ended.files == {"algorithm.log", "partial.txt"}
    assert ended.text("algorithm.log") == "before the end\n"
    assert ended.text("partial.txt") == "partial\n"


def test_nested_and_empty_outputs_keep_their_names(run: Run) -> None:
    ended = run.finished("nested")
    assert ended.outcome == ("Complete", "Succeeded")
    assert {name: ended.text(name) for name in ended.files} == {
        "algorithm.log": "",
        "top.txt": "one\n",
        "deep/er/two.txt": "two\n",
        "deep/nothing.bin": "",
        "two words.txt": "three\n",
        "grüße.txt": "four\n",
        "line\nbreak.txt": "five\n",
        "publish.log": (
            "Not published, or not whole:\n"
            "inputs is a symbolic link\nlink.txt is a symbolic link\npipe is a pipe\n"
        ),
    }
    places = {str(one.path.relative_to(run.folder / ended.name)) for one in ended.results.values()}
    assert r"line\nbreak.txt" in places


def test_a_job_without_outputs_publishes_its_log(run: Run) -> None:
    ended = run.finished("silent")
    assert ended.outcome == ("Complete", "Succeeded")
    assert {name: ended.text(name) for name in ended.files} == {"algorithm.log": ""}


def test_an_image_needs_no_shell(run: Run) -> None:
    ended = run.finished("noshell")
    assert ended.outcome == ("Complete", "Succeeded")
    assert "/data/inputs/data/0" in ended.lines("inputs.txt")
    assert "input: /data/inputs/data/0" in ended.lines("algorithm.log")
    failing = run.finished("noshell-failing")
    assert failing.outcome == ("Failed", "AlgorithmFailed")
    assert failing.status["terminationDetails"]["exitCode"] == 7
    assert not re.search("unreachable", failing.text("algorithm.log"))
