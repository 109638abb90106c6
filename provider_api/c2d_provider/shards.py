"""Shards: the provider's memory, in ConfigMaps that are written by compare-and-set.

They are in a namespace of their own, where nobody but the provider writes. A shard that is not
there is empty, and is made by the first who writes to it; of two who write at once one comes too
late, reads again and decides anew.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from c2d_provider.api_server import (
    AlreadyExistsError,
    ApiServer,
    ConflictError,
    DeniedError,
    NotFoundError,
)
from c2d_provider.ports import UnavailableError

Data = Mapping[str, str]
Result = TypeVar("Result")
Decide = Callable[[Data], tuple[Data | None, Result]]
"""From what a shard holds to what it shall hold, None for the same, and what to say."""

STORE_LABEL = "computetodata.io/store"
ATTEMPTS = 16
_PAUSE = 0.02
_SPREAD = random.SystemRandom()


class Shards:
    """Reads and changes shards; changes of one shard in this process wait for each other."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        """Take the namespace that holds them."""
        self._api = api
        self._namespace = namespace
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def read(self, store: str, number: int) -> Data:
        """Read a shard from the API server itself."""
        body = await self._body(f"{store}-{number:02x}")
        return (body.get("data") or {}) if body else {}

    async def read_all(self, store: str) -> list[Data]:
        """Read all shards of a store."""
        pages = self._api.pages("ConfigMap", self._namespace, f"{STORE_LABEL}={store}")
        return [body.get("data") or {} async for page, _ in pages for body in page]

    async def change(self, store: str, number: int, decide: Decide[Result]) -> Result:
        """Change a shard by compare-and-set; what was decided last is what was written.

        Raises:
            UnavailableError: The API server did not answer, and whether it was written is not
                known; or others were always first; or the shard is full.
        """
        name = f"{store}-{number:02x}"
        async with self._locks[name]:
            for attempt in range(ATTEMPTS):
                body = await self._body(name)
                data, result = decide((body.get("data") or {}) if body else {})
                if data is None or await self._write(store, name, body, data):
                    return result
                await asyncio.sleep(_PAUSE * (attempt + 1) * _SPREAD.random())
        raise UnavailableError("too many requests change the same record")

    async def _body(self, name: str) -> dict[str, Any] | None:
        return await self._api.read("ConfigMap", self._namespace, name)

    async def _write(
        self, store: str, name: str, before: dict[str, Any] | None, data: Data
    ) -> bool:
        """Write what was decided over `before`; False if that is not what is there any more."""
        try:
            if before is None:
                await self._api.create("ConfigMap", self._namespace, _new(store, name, data))
            else:
                body = {**before, "data": dict(data)}
                await self._api.replace("ConfigMap", self._namespace, body)
        except (AlreadyExistsError, ConflictError):
            return False
        except NotFoundError:
            if before is None:
                raise UnavailableError("the namespace of the provider's records is gone") from None
            return False
        except DeniedError:
            raise UnavailableError("the provider's records are full or locked") from None
        return True


def _new(store: str, name: str, data: Data) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "c2d-provider", STORE_LABEL: store},
        },
        "data": dict(data),
    }
