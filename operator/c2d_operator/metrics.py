"""What Prometheus reads: jobs, how long their steps take, passes, API requests, the leader."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from c2d_api.computejob import ComputeJob, Status
from c2d_operator import status as st
from c2d_operator.store import Store

_STEP_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
_PASS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The operator's own numbers, since its start."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "c2d_api_requests",
            "Requests to the API server, by their answer; code 0 stands for none.",
            ["method", "resource", "code"],
            registry=self.registry,
        )
        self._steps = Histogram(
            "c2d_step_duration_seconds",
            "Time from the end of the former step of a job to the end of this one.",
            ["environment", "condition", "reason"],
            buckets=_STEP_SECONDS,
            registry=self.registry,
        )
        self._passes = Histogram(
            "c2d_pass_duration_seconds",
            "Time from the event that woke a pass to the pass's end, its writes included.",
            ["kind"],
            buckets=_PASS_SECONDS,
            registry=self.registry,
        )

    def request(self, method: str, resource: str, code: int) -> None:
        """Count a request to the API server."""
        self._requests.labels(method, resource, str(code)).inc()

    def passed(self, kind: str, seconds: float) -> None:
        """Note how long after its wake-up a pass was over."""
        self._passes.labels(kind).observe(seconds)

    def recorded(self, job: ComputeJob, after: Status) -> None:
        """Note how long the steps took that were decided just now."""
        began = job.created
        for type_ in st.STEPS:
            before, now = job.status.condition(type_), after.condition(type_)
            if now is None or now.status == "Unknown":
                return
            open_ = before is None or before.status == "Unknown"
            if open_ and now.reason != st.Reason.NOT_REACHED:
                seconds = (now.last_transition_time - began).total_seconds()
                labels = self._steps.labels(job.spec.environment, type_, now.reason)
                labels.observe(max(seconds, 0.0))
            began = now.last_transition_time

    def serve(
        self, port: int, store: Store, waiting: Callable[[], int], leads: Callable[[], bool]
    ) -> None:
        """Serve all numbers at `/metrics` of a port, from a thread of its own."""
        self.registry.register(_Seen(store, waiting, leads))
        start_http_server(port, registry=self.registry)


class _Seen(Collector):
    """Numbers that are counted when they are asked for."""

    def __init__(self, store: Store, waiting: Callable[[], int], leads: Callable[[], bool]) -> None:
        self._store = store
        self._waiting = waiting
        self._leads = leads

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        yield self._jobs()
        depth = GaugeMetricFamily("c2d_queue_depth", "Passes that wait for a worker.")
        depth.add_metric([], self._waiting())
        yield depth
        leader = GaugeMetricFamily("c2d_leader", "1 if this operator acts, 0 if it stands by.")
        leader.add_metric([], float(self._leads()))
        yield leader

    def _jobs(self) -> Metric:
        tally = Tally(
            (
                job.namespace,
                job.spec.environment,
                st.phase(job.status),
                st.reason(job.status),
            )
            for job in list(self._store.jobs.values())
        )
        jobs = GaugeMetricFamily(
            "c2d_jobs",
            "ComputeJobs that exist.",
            labels=["namespace", "environment", "phase", "reason"],
        )
        for labels, count in tally.items():
            jobs.add_metric(labels, count)
        return jobs
