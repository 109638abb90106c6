"""kopf's side: watches, login, probes and signals; every event goes to the reconciler."""

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kopf

from c2d_operator.cluster import KINDS
from c2d_operator.reconcile import SELECTORS, Reconciler
from c2d_operator.settings import Settings

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CHUNK = 500
_IDLE_SECONDS = 0.5
_IDENTITY: Any = "c2d-operator"


def operator_settings() -> kopf.OperatorSettings:
    """Configure kopf as plumbing: fixed kinds, filtered watches, no events or marks of its own."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = _CHUNK
    # kopf has a task for each object; at the start thousands would wait for a second event at once
    settings.queueing.idle_timeout = _IDLE_SECONDS
    for kind, selector in SELECTORS.items():
        if selector:
            settings.watching.label_selectors[_resource(kind)] = selector
    return settings


def _resource(kind: str) -> str:
    prefix, plural = KINDS[kind].prefix, KINDS[kind].plural
    group = prefix.split("/")[1] if prefix.startswith("apis/") else ""
    return f"{group}/{plural}" if group else plural


def registry(reconciler: Reconciler) -> kopf.OperatorRegistry:
    """Register a low-level handler for each kind that is watched."""
    handlers = kopf.OperatorRegistry()
    for kind in SELECTORS:
        _watch(handlers, reconciler, kind)
    kopf.on.login(registry=handlers)(login)

    @kopf.on.probe(registry=handlers, id="watches")
    async def watches(**_: Any) -> str:
        problem = reconciler.deaf()
        if problem:
            raise kopf.PermanentError(problem)
        return "heard" if reconciler.loaded else "standing by"

    return handlers


def _watch(handlers: kopf.OperatorRegistry, reconciler: Reconciler, kind: str) -> None:
    group, version = KINDS[kind].prefix.removeprefix("apis/").rsplit("/", 1)

    @kopf.on.event(
        "" if group == "api" else group, version, KINDS[kind].plural, registry=handlers, id=kind
    )
    async def observe(event: Mapping[str, Any], **_: Any) -> None:
        reconciler.observe(event["type"], kind, event["object"])


def login(**arguments: Any) -> kopf.ConnectionInfo | None:
    """Log in as the pod's ServiceAccount, or by the kubeconfig where there is none."""
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST"),
        os.environ.get("KUBERNETES_SERVICE_PORT"),
    )
    token = _SERVICE_ACCOUNT / "token"
    if not host or not port or not token.is_file():
        return kopf.login_with_kubeconfig(**arguments)
    return kopf.ConnectionInfo(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca_path=str(_SERVICE_ACCOUNT / "ca.crt"),
        scheme="Bearer",
        token=token.read_text().strip(),
    )


async def watch(reconciler: Reconciler, settings: Settings) -> None:
    """Watch until the process is asked to stop; raise what ended a watch otherwise."""
    # not kopf.operator(): at its end it cancels whatever tasks the process has, and waits for them
    tasks = await kopf.spawn_tasks(
        registry=registry(reconciler),
        settings=operator_settings(),
        namespaces=settings.namespaces,
        standalone=True,
        # otherwise kopf looks for the user's name, which a user id of its own has none of
        identity=_IDENTITY,
        liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
    )
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        task.result()


def configure_logging(settings: Settings) -> None:
    """Write one line an entry, as JSON unless told otherwise."""
    plain = settings.log_format == "plain"
    kopf.configure(log_format=kopf.LogFormat.FULL if plain else kopf.LogFormat.JSON)
    logging.getLogger("kopf").setLevel(logging.WARNING)
