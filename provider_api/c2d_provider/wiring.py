"""The one place where the provider's ports are what they are: web3, the network, Kubernetes, S3."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from c2d_api.computeenvironment import Address
from c2d_provider import api_server, jobs, orders
from c2d_provider.assets import AssetSettings, OceanAssets
from c2d_provider.chain import ChainSettings, EvmChains, settings_from
from c2d_provider.cluster import open_cluster
from c2d_provider.context import Context, Policy, Ports, identity
from c2d_provider.refusals import Refused
from c2d_provider.remote_providers import RemoteProviders
from c2d_provider.results import StoredResults
from c2d_provider.settings import Settings, SettingsError

_API_SECONDS = 10.0
_SETTLED = 64
"""Confirmations from which on a chain is not asked again, if no more are demanded."""


@dataclass(frozen=True)
class Wired:
    """A provider that is connected; `is_ready` says whether it has seen the whole cluster."""

    context: Context
    is_ready: Callable[[], bool]


def chain_settings(settings: Settings) -> tuple[ChainSettings, ...]:
    """Say how each chain is read.

    Raises:
        SettingsError: The address file has not all of them.
    """
    settled = max(_SETTLED, settings.confirmations)
    try:
        return tuple(
            replace(settings_from(settings.contracts, chain_id, urls), settled=settled)
            for chain_id, urls in settings.rpcs.items()
        )
    except Refused as refused:
        raise SettingsError(f"C2D_ADDRESSES_FILE: {refused.refusal.message}") from None


def asset_settings(settings: Settings) -> AssetSettings:
    """Say how assets are read."""
    return AssetSettings(
        key=settings.key,
        metadata_cache=settings.metadata_cache,
        ipfs_gateway=settings.ipfs_gateway,
        arweave_gateway=settings.arweave_gateway,
        allowed=allowed(settings),
    )


def allowed(settings: Settings) -> tuple[Address, ...]:
    """Say what may be reached beside public addresses."""
    return tuple(Address(str(network), port) for network, port in settings.egress)


def policy(settings: Settings) -> Policy:
    """Say what the operator of the provider demands."""
    return Policy(
        orders=orders.Policy(confirmations=settings.confirmations),
        legacy_trust=settings.legacy_trust,
        default_namespace=settings.namespaces[0],
        urls=settings.urls,
        system_namespace=settings.namespace,
        decrypters=settings.decrypters,
    )


@asynccontextmanager
async def wired(
    settings: Settings, chains: tuple[ChainSettings, ...], kubeconfig: str | None
) -> AsyncIterator[Wired]:
    """Connect to the world as long as the block runs."""
    who = identity(settings.key, settings.seal_key)
    is_ours = partial(jobs.is_ours, seal_key=who.seal_key)
    async with (
        api_server.connect(_API_SECONDS, kubeconfig) as api,
        open_cluster(api, settings.namespaces, settings.records_namespace, is_ours) as cluster,
        EvmChains(chains) as evm,
        OceanAssets(asset_settings(settings), evm) as assets,
        RemoteProviders(allowed(settings)) as remotes,
    ):
        results = StoredResults(cluster, settings.namespace, settings.results_folder, time.time)
        context = Context(
            Ports(evm, assets, cluster, results, remotes),
            who,
            policy(settings),
            lambda: int(time.time()),
        )
        yield Wired(context, cluster.is_ready)
