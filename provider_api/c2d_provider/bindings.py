"""Bindings: which object a seal is good for, so that a saved job cannot be applied again.

A seal says that the provider made a job; it would say so of a copy as well. So what is remembered,
where no tenant can write, is the uid of the first object with a sealed job's name. It is forgotten
when the job's orders have ended: a copy would be too late for them then.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from c2d_provider.refusals import Reason, refuse

_PARTS = 2


@dataclass(frozen=True)
class Binding:
    """The one object of a sealed job, by uid; remembered `until`, in seconds of the epoch."""

    uid: str
    until: int


@dataclass(frozen=True)
class Bindings:
    """What a shard remembers: bindings by the name of the job."""

    bindings: Mapping[str, Binding] = field(default_factory=lambda: MappingProxyType({}))

    def encode(self) -> dict[str, str]:
        """Write the form that is stored: a text a job."""
        return {name: f"{one.uid} {one.until}" for name, one in self.bindings.items()}


def decode(data: Mapping[str, str]) -> Bindings:
    """Read what `Bindings.encode` wrote.

    Raises:
        Refused: It is something else. To start anew would let saved jobs be applied again.
    """
    return Bindings(MappingProxyType({name: _binding(text) for name, text in data.items()}))


def bind(bindings: Bindings, name: str, new: Binding, now: int) -> Bindings | None:
    """Bind a job to its object; None where it is bound to another one.

    Returns the bindings themselves, to which nothing is to be written, where it is bound already.
    What has ended goes on the way.
    """
    before = bindings.bindings.get(name)
    if before is not None and before.until >= now:
        return bindings if before.uid == new.uid else None
    kept = {key: one for key, one in bindings.bindings.items() if one.until >= now}
    return replace(bindings, bindings=MappingProxyType({**kept, name: new}))


def shard_of(name: str) -> int:
    """Name the shard of a job."""
    return hashlib.sha256(name.encode()).digest()[0]


def _binding(text: str) -> Binding:
    parts = text.split(" ")
    if len(parts) != _PARTS or not (parts[1].isascii() and parts[1].isdigit()):
        refuse(Reason.MALFORMED, "the store of bindings has an entry that is none")
    return Binding(parts[0], int(parts[1]))
