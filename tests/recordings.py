"""What unmodified Ocean clients sent, recorded from whole flows on a local chain.

One JSON object a line: requests that are signed or of provider v2, and the DDOs that clients
published and read back.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "provider_api"
Json = dict[str, Any]


def requests() -> list[Json]:
    """Read the recorded requests: client, method, path, query, body."""
    return _lines("recorded_requests.jsonl")


def ddos() -> list[Json]:
    """Read the recorded DDOs: client, ddo."""
    return _lines("recorded_ddos.jsonl")


def v2_flow(client: str) -> list[Json]:
    """Read all that a client of provider v2 asked in one flow, in order, with what it accepted.

    What a client sent that is no text stands as its length, such as `<692 bytes>`.
    """
    return [entry for entry in _lines("recorded_v2_flows.jsonl") if entry["client"] == client]


def title(entry: Json) -> str:
    """Name a recorded request for a test's id."""
    return f"{entry['client']} {entry['method']} {entry['path'].rsplit('/', 1)[-1]}"


def _lines(name: str) -> list[Json]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]
