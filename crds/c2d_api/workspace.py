"""The workspace: the tree on a job's volume, and how its algorithm sees it.

The layout is the one that published algorithms rely on: inputs by dataset and number,
transformations, DDOs, outputs, logs. Names from outside become paths only through this module.
"""

import json
import re
from collections.abc import Iterable

VOLUME = "/data"
INPUTS, DDOS, TRANSFORMATIONS, OUTPUTS, LOGS = (
    "inputs",
    "ddos",
    "transformations",
    "outputs",
    "logs",
)
ADMIN_LOGS, LAUNCHER = "adminlogs", "launcher"

READ_ONLY = (INPUTS, DDOS, TRANSFORMATIONS)
WRITABLE = (OUTPUTS, LOGS)
FOLDERS = (*READ_ONLY, *WRITABLE, ADMIN_LOGS, LAUNCHER)

ALGORITHM = f"{TRANSFORMATIONS}/algorithm"
CUSTOM_DATA = f"{INPUTS}/algoCustomData.json"
ALGORITHM_LOG = f"{LOGS}/algorithm.log"
LAUNCHER_MOUNT = "/.c2d"
LAUNCHER_SHELL = "busybox"
LAUNCHER_SCRIPT = "launch.sh"
LAUNCHER_CONNECT = "connect.sh"
LAUNCHER_CLOSED = "closed"
"""The addresses that must not be reached from an algorithm: a line each, address and port."""

_PREFIX = re.compile(r"did:ope?:")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def folder_name(asset_id: str) -> str:
    """Name the folder or file of an asset: its DID without the prefix, else its name.

    Raises:
        ValueError: The name could leave its folder or hide in it.
    """
    prefix = _PREFIX.match(asset_id)
    name = asset_id[prefix.end() :] if prefix else asset_id
    if not _SAFE.fullmatch(name):
        raise ValueError(f"{asset_id!r} cannot be the name of a folder")
    return name


def algorithm_variables(
    dataset_ids: Iterable[str], algorithm_id: str, secret: str
) -> dict[str, str]:
    """List the environment variables that published algorithms rely on."""
    names = list(dict.fromkeys(folder_name(asset_id) for asset_id in dataset_ids))
    return {
        "DIDS": json.dumps(names),
        "TRANSFORMATION_DID": folder_name(algorithm_id) if algorithm_id else "",
        "BASE_DIR": VOLUME,
        "VOLUME": VOLUME,
        "INPUTS": f"{VOLUME}/{INPUTS}",
        "OUTPUTS": f"{VOLUME}/{OUTPUTS}",
        "LOGS": f"{VOLUME}/{LOGS}",
        "ALGO": f"{VOLUME}/{ALGORITHM}",
        "secret": secret,
        "HOME": "/tmp",  # noqa: S108 - a bounded volume of the pod's own is mounted there
    }
