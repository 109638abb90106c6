"""What the provider tells of itself: a line of JSON for each request, and numbers for Prometheus.

Neither has anything that a client sent but the route's own pattern: queries hold signatures.
"""

import json
import logging
import sys
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

ACCESS = logging.getLogger("c2d_provider.access")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_FIELDS = ("request_id", "client", "method", "route", "status", "seconds", "bytes_sent")


class Metrics:
    """The provider's numbers since its start."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "c2d_provider_requests",
            "Requests, by their route and the status of the answer.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "c2d_provider_request_duration_seconds",
            "Time from the end of a request's head to the end of its answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "c2d_provider_requests_in_flight",
            "Requests that are being answered.",
            registry=self.registry,
        )
        self.limited = Counter(
            "c2d_provider_requests_limited",
            "Requests that were refused since their client asks too often.",
            registry=self.registry,
        )


class JsonLines(logging.Formatter):
    """Writes a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, message and the fields of a request."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def configure_logging(log_format: str) -> None:
    """Log to standard error, as lines of JSON or for people."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonLines() if log_format == "json" else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # httpx-like libraries log URLs with keys in them at this level
    for name in ("urllib3", "web3", "kubernetes", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
