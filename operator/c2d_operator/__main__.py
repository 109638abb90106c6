"""The operator as a program: `python -m c2d_operator`."""

import argparse
import asyncio
import logging
import os
import socket
import sys
import uuid
from collections.abc import Mapping

from c2d_api.tasks import Endpoint, Gateways
from c2d_operator import environments
from c2d_operator.actions import Hands
from c2d_operator.canary import Canary
from c2d_operator.cluster import connect
from c2d_operator.events import Recorder
from c2d_operator.handlers import configure_logging, watch
from c2d_operator.leader import Leader, LeadershipLostError
from c2d_operator.metrics import Metrics
from c2d_operator.pods import Images
from c2d_operator.reconcile import Reconciler
from c2d_operator.settings import Settings, SettingsError, read_settings
from c2d_operator.store import Store

_LOGGER = logging.getLogger(__name__)


async def serve(settings: Settings, kubeconfig: str | None) -> None:
    """Reconcile until a signal asks to stop."""
    rate, burst = settings.requests_per_second, settings.request_burst
    metrics, store = Metrics(), Store()
    async with connect(
        rate, burst, settings.request_timeout, kubeconfig, metrics.request
    ) as cluster:
        identity = settings.pod or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        leader = Leader(cluster, (settings.namespace, "c2d-operator"), identity)
        own = cluster.fenced(leader.remaining)
        recorder = Recorder(own, identity)
        images = Images(
            settings.loader_image,
            settings.publisher_image,
            settings.provider_url,
            Gateways(settings.ipfs_gateway, settings.arweave_gateway),
            api_server=_api_server(os.environ),
        )
        hands = Hands(own, store, images, _canary(settings.canary))
        programs = environments.Programs(settings.namespace, settings.provider_url, settings.canary)
        reconciler = Reconciler(
            hands, recorder, metrics, settings.namespaces, settings.watch_grace_seconds, programs
        )
        metrics.serve(
            settings.metrics_port, store, reconciler.waiting, lambda: leader.remaining() > 0
        )
        async with asyncio.TaskGroup() as group:
            leading = group.create_task(_lead(leader, reconciler, recorder, settings))
            await watch(reconciler, settings)
            leading.cancel()


def _canary(where: str) -> Canary | None:
    host, _, port = where.rpartition(":")
    return Canary(host.strip("[]"), int(port)) if where else None


def _api_server(environ: Mapping[str, str]) -> Endpoint | None:
    """Tell where pods find the API server, as the kubelet told this one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    return Endpoint(host, int(port)) if host and port else None


async def _lead(
    leader: Leader, reconciler: Reconciler, recorder: Recorder, settings: Settings
) -> None:
    """Wait for the Lease, then reconcile as long as it is ours."""
    await leader.acquire()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(leader.keep())
            group.create_task(recorder.run())
            await reconciler.load()
            await reconciler.run(settings.workers, settings.resync_seconds)
    finally:
        await leader.release()


def _causes(error: BaseException) -> list[BaseException]:
    """List what a group of errors is made of."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [cause for part in error.exceptions for cause in _causes(part)]


def main() -> None:
    """Read the settings, serve, and end the process."""
    parser = argparse.ArgumentParser(
        prog="c2d_operator",
        description="Runs ComputeJobs. docs/reference/settings.md has its settings.",
    )
    parser.parse_args()
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        print(f"c2d_operator: {error}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        sys.exit(2)
    configure_logging(settings)
    code = 0
    runner = asyncio.Runner()
    try:
        runner.run(serve(settings, os.environ.get("KUBECONFIG")))
    except* LeadershipLostError as lost:
        code = 1
        for cause in _causes(lost):
            _LOGGER.error("stopped, since this operator must not act any more: %s", cause)
    _end(code)


def _end(code: int) -> None:
    """End without waiting for kopf's tasks: cancelled at a bad moment, some of them never end.

    Nothing of ours is left to do by now: the Lease is given back, and all state is elsewhere.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
