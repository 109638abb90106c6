"""The provider as a program: `python -m c2d_provider`."""

import argparse
import asyncio
import logging
import os
import sys

from c2d_provider.chain import ChainSettings
from c2d_provider.serving import manner, serving, until_signalled
from c2d_provider.settings import Settings, SettingsError, read_settings
from c2d_provider.telemetry import configure_logging
from c2d_provider.wiring import chain_settings, wired

_LOGGER = logging.getLogger(__name__)


async def serve(
    settings: Settings, chains: tuple[ChainSettings, ...], kubeconfig: str | None
) -> None:
    """Serve until a signal asks to stop."""
    async with wired(settings, chains, kubeconfig) as provider:
        how = manner(settings, provider.is_ready)
        async with serving(settings, provider.context, how) as bound:
            _LOGGER.info("The provider serves loaders on port %s", bound.internal)
            _LOGGER.info("The provider serves consumers on port %s", bound.public)
            await until_signalled()
            _LOGGER.info("The provider answers what it was asked, and ends")


def main() -> int:
    """Read the settings and serve."""
    parser = argparse.ArgumentParser(
        prog="c2d_provider",
        description="Sells compute on data for orders on chain."
        " docs/reference/provider-settings.md has its settings.",
    )
    parser.parse_args()
    try:
        settings = read_settings(os.environ)
        chains = chain_settings(settings)
    except SettingsError as error:
        print(f"c2d_provider: {error}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        return 2
    configure_logging(settings.log_format)
    asyncio.run(serve(settings, chains, os.environ.get("KUBECONFIG")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
