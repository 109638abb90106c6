"""Signed requests for objects of buckets: AWS signature version 4, in the query of a GET.

Pure. Not by a library of stores: such a one takes session tokens from its environment into the
URL of a stranger, and refuses keys that S3 allows.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import SplitResult, quote

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Signer:
    """Who signs, and for which region."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    region: str

    def query(self, host: str, path: str, now: float, seconds: int) -> str:
        """Sign a GET of an encoded path; it is good for so many seconds from `now`, of the epoch.

        `host` is what will stand in the request's header.
        """
        moment = datetime.fromtimestamp(now, UTC)
        scope = f"{moment:%Y%m%d}/{self.region}/s3/aws4_request"
        time = f"{moment:%Y%m%dT%H%M%SZ}"
        query = "&".join(
            f"{name}={quote(value, safe='-_.~')}"
            for name, value in (
                ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
                ("X-Amz-Credential", f"{self.access_key_id}/{scope}"),
                ("X-Amz-Date", time),
                ("X-Amz-Expires", str(seconds)),
                ("X-Amz-SignedHeaders", "host"),
            )
        )
        asked = "\n".join(("GET", path, query, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(asked.encode()).hexdigest()
        text = "\n".join(("AWS4-HMAC-SHA256", time, scope, digest))
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return f"{query}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"


def host_header(endpoint: SplitResult) -> str:
    """Write a host as it will stand in the request's header, which is signed."""
    name = endpoint.hostname or ""
    name = f"[{name}]" if ":" in name else name
    is_default = endpoint.port in (None, _DEFAULT_PORTS.get(endpoint.scheme))
    return name if is_default else f"{name}:{endpoint.port}"


def object_path(key: str) -> str:
    """Encode an object's key as the path of a URL has it, and the signature as well."""
    return quote(key, safe="/-_.~")
