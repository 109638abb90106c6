"""Jobs of one test run on a real cluster: applied with kubectl, followed, fetched, explained."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from c2d_api.computejob import JOB_LABEL, PHASE_LABEL
from results import Fetched, ResultsError, Stack, fetch_results

Json = dict[str, Any]
API_VERSION = "computetodata.io/v1alpha1"
RUN_LABEL = "end-to-end-run"
LIMIT = 180
PAUSE = 0.5


def inline(text: str, **more: object) -> Json:
    return {"inline": {"text": text}, **more}


def url(address: str, **more: object) -> Json:
    return {"url": {"url": address}, **more}


def dataset(name: str, *files: Json, **more: object) -> Json:
    return {"id": name, "source": {"files": list(files)}, **more}


def eventually(probe: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    """Wait until a probe finds something that is true, and return it."""
    deadline = time.monotonic() + limit
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {limit:.0f} s")
        time.sleep(PAUSE)
    return found


@dataclass(frozen=True)
class Ended:
    """A job that has ended: its last state, and what it has published."""

    body: Json
    stack: Stack
    folder: Path

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def status(self) -> Json:
        return dict(self.body["status"])

    @cached_property
    def conditions(self) -> dict[str, Json]:
        return {entry["type"]: entry for entry in self.status["conditions"]}

    @property
    def outcome(self) -> tuple[str, str]:
        """The condition that ended the job, and its reason."""
        (ended,) = (
            one for one in ("Complete", "Failed") if self.conditions[one]["status"] == "True"
        )
        return ended, self.conditions[ended]["reason"]

    @property
    def message(self) -> str:
        return str(self.conditions[self.outcome[0]]["message"])

    @cached_property
    def results(self) -> dict[str, Fetched]:
        fetched = fetch_results(self.stack, self.name, self.folder / self.name)
        return {one.file.name: one for one in fetched}

    @property
    def files(self) -> set[str]:
        return set(self.results)

    def text(self, name: str) -> str:
        assert name in self.results, f"{name} is not among {sorted(self.results)}"
        return self.results[name].path.read_text()

    def lines(self, name: str) -> list[str]:
        return self.text(name).splitlines()


@dataclass
class Run:
    """All that one test run makes on a cluster; the mark is part of every name."""

    stack: Stack
    mark: str
    folder: Path
    touched: list[str] = field(default_factory=list)
    ended: dict[str, Ended] = field(default_factory=dict)

    def kubectl(self, *words: str, text: str | None = None, limit: float = LIMIT + 20) -> str:
        try:
            return self.stack.kubectl(*words, text=text, limit=limit)
        except ResultsError as error:
            raise AssertionError(str(error)) from None

    def read(self, *words: str) -> Json:
        return dict(json.loads(self.kubectl("get", *words, "--output=json")))

    def value(self, name: str) -> str:
        return self.stack.values[name]

    def named(self, name: str) -> str:
        return f"{name}-{self.mark}"

    # what a run makes

    def create_environment(self, name: str, **changes: object) -> None:
        """Create an environment like the stack's own, but for some fields."""
        spec = self.read("computeenvironment", self.value("ENVIRONMENT"))["spec"]
        spec["maxJobs"] = 20
        spec["resources"]["default"] = {"cpu": "50m", "memory": "128Mi", "disk": "256Mi"}
        environment = self._object("ComputeEnvironment", name, spec | changes)
        self.kubectl("create", "--filename=-", text=json.dumps(environment))
        self.kubectl("wait", "--for=condition=Ready", f"cenv/{self.named(name)}", "--timeout=60s")

    def create(self, api_version: str, kind: str, name: str, **fields: object) -> str:
        """Create an object of any other kind; it is removed with everything of this run."""
        metadata = {"name": self.named(name), "labels": {RUN_LABEL: self.mark}}
        body = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
        self.kubectl("create", "--filename=-", text=json.dumps(body))
        return self.named(name)

    def patch(self, name: str, **spec: object) -> None:
        """Change the spec of a job."""
        patch = json.dumps({"spec": spec})
        self.kubectl("patch", "cjob", self.named(name), "--type=merge", f"--patch={patch}")

    def patch_environment(self, name: str, **spec: object) -> None:
        """Change the spec of an environment."""
        patch = json.dumps({"spec": spec})
        self.kubectl("patch", "cenv", self.named(name), "--type=merge", f"--patch={patch}")

    def start(self, **jobs: Json) -> None:
        """Apply jobs, all at once; `_` in a name stands for `-`."""
        items = [
            self._object("ComputeJob", name.replace("_", "-"), spec) for name, spec in jobs.items()
        ]
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        self.kubectl("apply", "--filename=-", text=json.dumps(listed))

    def job(self, entrypoint: str, *datasets: Json, image: str = "BUSYBOX", **more: Any) -> Json:
        """Write the spec of a job; `code` is raw code, `algorithm` and `spec` add fields."""
        repository, _, digest = self.image(image).partition("@")
        container = {"image": repository, "digest": digest, "entrypoint": entrypoint}
        algorithm = {"container": container, **more.get("algorithm", {})}
        if "source" not in algorithm:
            algorithm["rawCode"] = more.get("code", "# nothing")
        spec = {"environment": self.named("tests"), "algorithm": algorithm}
        if datasets:
            spec["datasets"] = list(datasets)
        return {**spec, **more.get("spec", {})}

    def image(self, name: str) -> str:
        if name == "ALGO":
            return f"{self.value('ALGO_IMAGE')}@{self.value('ALGO_CHECKSUM')}"
        return self.value(f"{name}_IMAGE")

    def _object(self, kind: str, name: str, spec: object) -> Json:
        labels = {RUN_LABEL: self.mark}
        return {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {
                "name": self.named(name),
                "namespace": self.stack.namespace,
                "labels": labels,
            },
            "spec": spec,
        }

    # what becomes of it

    def until(self, name: str, path: str, value: str | None = None, limit: int = LIMIT) -> None:
        """Wait until a field of a job has a value, or any."""
        self.touched.append(self.named(name))
        wanted = f"--for=jsonpath={path}" + (f"={value}" if value is not None else "")
        self.kubectl("wait", wanted, f"cjob/{self.named(name)}", f"--timeout={limit}s")

    def finished(self, name: str) -> Ended:
        """Wait for the end of a job, and see that nothing of it is left."""
        if name not in self.ended:
            self.until(name, "{.status.completionTime}")
            body = self.read("computejob", self.named(name))
            assert self.children(name) == []
            self.ended[name] = Ended(body, self.stack, self.folder)
        self.touched.append(self.named(name))
        return self.ended[name]

    def children(self, name: str) -> list[str]:
        """List what there is of a job's pods and claims, also of those that are being deleted."""
        found = self.kubectl(
            "get", "pods,persistentvolumeclaims", f"--selector={JOB_LABEL}={self.named(name)}",
            "--output=name", "--ignore-not-found",
        )  # fmt: skip
        return found.split()

    def volumes(self, name: str) -> list[Json]:
        """List the volumes that were bound to a job's claim."""
        return [
            volume
            for volume in self.read("persistentvolumes")["items"]
            if volume["spec"].get("claimRef", {}).get("name") == f"{self.named(name)}-workspace"
        ]

    def pod(self, name: str, phase: str) -> Json:
        """Read the pod of a job's phase."""
        selector = f"{JOB_LABEL}={self.named(name)},{PHASE_LABEL}={phase}"
        (pod,) = self.read("pods", f"--selector={selector}")["items"]
        return dict(pod)

    def running(self, name: str, word: str) -> Json:
        """Wait until a job's algorithm has printed a word; return its pod."""
        self.until(name, "{.status.reason}", "Running")
        pod = self.pod(name, "algorithm")

        def printed() -> bool:
            return word in self.kubectl("logs", pod["metadata"]["name"])

        eventually(printed, f"{word!r} in the log of {self.named(name)}", 30)
        return pod

    def events(self, name: str) -> list[Json]:
        """List the events of a job in their order."""
        selector = f"--field-selector=involvedObject.name={self.named(name)}"
        return sorted(self.read("events", selector)["items"], key=lambda one: str(one["eventTime"]))

    # what to say when it goes wrong

    def diagnosis(self) -> str:
        """Describe the jobs of the present test, with what their pods and the operator say."""
        answers = []
        for job in dict.fromkeys(self.touched):
            pods = (f"--selector={JOB_LABEL}={job}",)
            answers += [
                self._asked("describe", "computejob", job),
                self._asked("describe", "pods", *pods),
                self._asked("logs", *pods, "--tail=30", "--prefix", "--ignore-errors"),
            ]
        operator = ("--namespace=c2d-system", "deployment/c2d-operator", "--tail=30")
        return "\n".join((*answers, self._asked("logs", *operator)))

    def _asked(self, *words: str) -> str:
        try:
            return f"$ kubectl {' '.join(words)}\n{self.stack.kubectl(*words)}"
        except ResultsError as error:
            return str(error)

    def remove(self) -> None:
        """Delete everything of this run, and see that no volume stays behind."""
        mine = f"--selector={RUN_LABEL}={self.mark}"
        kinds = ("computejobs", "computeenvironments", "pods", "persistentvolumeclaims")
        others = ("resourcequotas,persistentvolumes,storageclasses,priorityclasses",)
        for kind in (*kinds, *others):
            self.kubectl("delete", kind, mine, "--ignore-not-found", "--timeout=120s")


def without_changes(run: Run, ended: Mapping[str, Ended]) -> list[str]:
    """Name the jobs whose resource has changed after they had ended."""
    bodies = run.read("computejobs", f"--selector={RUN_LABEL}={run.mark}")["items"]
    versions = {body["metadata"]["uid"]: body["metadata"]["resourceVersion"] for body in bodies}
    return [
        one.name
        for one in ended.values()
        if versions.get(one.uid) != one.body["metadata"]["resourceVersion"]
    ]


def recorded(run: Run, *words: str, into: Path) -> "subprocess.Popen[bytes]":
    """Write what a watch sees to a file, until it is ended."""
    with into.open("wb") as file:
        return subprocess.Popen(run.stack.command("get", *words, "--watch"), stdout=file)
