"""The seal: the mark by which the provider knows a job that it made, unchanged.

Whoever may apply ComputeJobs could apply one that names other people's assets. The provider gives
assets only to a job whose annotation has the MAC of its namespace, name and spec, which only the
provider can compute.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from c2d_api.computejob import SEAL_ANNOTATION, Spec

ANNOTATION = SEAL_ANNOTATION
_VERSION = "v1"
_MUTABLE = frozenset({"suspend", "stop", "ttl_seconds_after_finished"})
_KEY_BYTES = 32


def derived_key(secret: bytes, purpose: str) -> bytes:
    """Make a key of its own for each purpose: a MAC of one kind is never one of another."""
    return hmac.digest(secret, f"c2d-kubernetes {purpose}".encode(), "sha256")


def canonical(value: Any) -> Any:
    """Turn frozen dataclasses into JSON without what is at its default.

    So a field that a later version adds, and that a job does not use, breaks no seal.
    """
    if is_dataclass(value):
        return {
            one.name: canonical(getattr(value, one.name))
            for one in fields(value)
            if getattr(value, one.name) != _default(one)
        }
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    raise TypeError(f"a spec has no {type(value).__name__}")


def seal(key: bytes, namespace: str, name: str, spec: Spec) -> str:
    """Compute the seal of a job.

    Raises:
        ValueError: The key has fewer than 32 bytes.
    """
    if len(key) < _KEY_BYTES:
        raise ValueError("the key of seals must have 32 bytes")
    immutable = {k: v for k, v in canonical(spec).items() if k not in _MUTABLE}
    text = json.dumps([_VERSION, namespace, name, immutable], sort_keys=True, separators=(",", ":"))
    mac = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return f"{_VERSION}:{mac}"


def is_sealed(key: bytes, namespace: str, name: str, spec: Spec, found: str | None) -> bool:
    """Say whether this is the seal of a job, in a time that tells nothing of the right one."""
    expected = seal(key, namespace, name, spec).encode()
    return hmac.compare_digest(expected, (found or "").encode(errors="replace"))


def _default(one: "Field[Any]") -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return one.default
