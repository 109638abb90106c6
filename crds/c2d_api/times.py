"""Kubernetes timestamps: RFC 3339 in UTC with whole seconds, or microseconds (MicroTime)."""

from datetime import UTC, datetime


def parse_time(text: str) -> datetime:
    """Read a Kubernetes timestamp as an aware datetime."""
    return datetime.fromisoformat(text)


def format_time(moment: datetime) -> str:
    """Write `metav1.Time`: whole seconds, cut, never rounded up into the future."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """Write `metav1.MicroTime`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
