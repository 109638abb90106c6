"""An asset as clients are served it: the DDO that was published, and what caches add to it.

Pure. Clients of provider v2 look for the additions at the document's top, those of the node under
`indexedMetadata`: both are there, the same for everybody.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from c2d_provider.ddo import Ddo
from c2d_provider.fields import Json
from c2d_provider.ports import Metadata, Nft, Token


def listed(
    document: Json, ddo: Ddo, metadata: Metadata, nft: Nft, tokens: Mapping[str, Token]
) -> dict[str, Any]:
    """Write the document; `tokens` has the NFT and the datatokens by their addresses.

    What is not known here, as how often it was ordered, is empty, and nothing is in purgatory.
    """
    named = _nft(metadata, nft, tokens[nft.address])
    event, datatokens = _event(metadata, nft), _datatokens(ddo, tokens)
    purgatory = {"state": False, "reason": ""}
    return {
        **document,
        "nft": named,
        "datatokens": datatokens,
        "event": event,
        "stats": {},
        "purgatory": purgatory,
        "indexedMetadata": {
            "nft": named,
            "event": event,
            "stats": [],
            "purgatory": purgatory,
        },
    }


def _nft(metadata: Metadata, nft: Nft, token: Token) -> dict[str, Any]:
    return {
        "address": nft.address,
        "name": token.name,
        "symbol": token.symbol,
        "state": nft.state,
        "owner": nft.owner,
        "tokenURI": "",
        "created": _moment(metadata),
    }


def _event(metadata: Metadata, nft: Nft) -> dict[str, Any]:
    return {
        "tx": metadata.transaction,
        "txid": metadata.transaction,
        "block": metadata.block_number,
        "from": metadata.sender,
        "contract": nft.address,
        "datetime": _moment(metadata),
    }


def _datatokens(ddo: Ddo, tokens: Mapping[str, Token]) -> Sequence[dict[str, str]]:
    return [
        {
            "address": service.datatoken,
            "name": tokens[service.datatoken].name,
            "symbol": tokens[service.datatoken].symbol,
            "serviceId": service.id,
        }
        for service in ddo.services
    ]


def _moment(metadata: Metadata) -> str:
    return datetime.fromtimestamp(metadata.block_time, UTC).strftime("%Y-%m-%dT%H:%M:%S")
