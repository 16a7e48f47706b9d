"""The access log and the metrics page; neither contains a query's text, parameters or login."""

from __future__ import annotations

import json
import logging
import logging.handlers
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.chserver.errors import ClientGone
from deploy.chserver.request import HttpQuery
from deploy.chserver.wire import HttpConnection

_LOG_BYTES: Final = 10 * 1024 * 1024
_LOG_FILES: Final = 3
_BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


@dataclass
class Outcome:
    """The outcome of a request, filled in while it is handled."""

    user: str = ""
    role: str = ""
    kind: str = ""
    code: int = 0
    gone: bool = False


class Metrics:
    """Counters and a latency histogram in Prometheus' text format (version 0.0.4)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._errors: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0
        self._bytes: Counter[str] = Counter()

    def record(self, outcome: Outcome, seconds: float, received: int, sent: int) -> None:
        """Count one request.

        Args:
            outcome: The outcome.
            seconds: Duration.
            received: Bytes received.
            sent: Bytes sent.
        """
        with self._lock:
            self._requests[(outcome.role or "none", outcome.kind or "none")] += 1
            if outcome.gone:
                self._errors["client_gone"] += 1
            elif outcome.code:
                self._errors[str(outcome.code)] += 1
            self._buckets[next((b for b in _BUCKETS if seconds <= b), float("inf"))] += 1
            self._seconds += seconds
            self._bytes["received"] += received
            self._bytes["sent"] += sent

    def page(self, gauges: Mapping[str, float]) -> bytes:
        """Return the metrics and ``gauges`` as text."""
        prefix = "chserver"
        lines = [f"# TYPE {prefix}_requests_total counter"]
        with self._lock:
            for (role, kind), count in sorted(self._requests.items()):
                lines.append(f'{prefix}_requests_total{{role="{role}",kind="{kind}"}} {count}')
            lines.append(f"# TYPE {prefix}_errors_total counter")
            for code, count in sorted(self._errors.items()):
                lines.append(f'{prefix}_errors_total{{code="{code}"}} {count}')
            lines.append(f"# TYPE {prefix}_bytes_total counter")
            for direction, size in sorted(self._bytes.items()):
                lines.append(f'{prefix}_bytes_total{{direction="{direction}"}} {size}')
            lines.append(f"# TYPE {prefix}_request_seconds histogram")
            total = 0
            for bound in (*_BUCKETS, float("inf")):
                total += self._buckets[bound]
                label = "+Inf" if bound == float("inf") else bound
                lines.append(f'{prefix}_request_seconds_bucket{{le="{label}"}} {total}')
            lines.append(f"{prefix}_request_seconds_sum {self._seconds:.6f}")
            lines.append(f"{prefix}_request_seconds_count {total}")
        for name, value in gauges.items():
            lines += [f"# TYPE {prefix}_{name} gauge", f"{prefix}_{name} {value:g}"]
        return ("\n".join(lines) + "\n").encode()


class AccessLog:
    """One JSON object per request; rotates by size."""

    def __init__(self, path: Path) -> None:
        self._logger = logging.Logger("chserver.access")
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8"
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._logger.addHandler(handler)

    @contextmanager
    def watch(self, http: HttpConnection, query: HttpQuery, metrics: Metrics) -> Iterator[Outcome]:
        """Log and count the request that is handled inside the context.

        Args:
            http: The client's connection.
            query: The parsed head.
            metrics: Counts the request.

        Yields:
            The outcome, to be filled in.
        """
        outcome = Outcome()
        started = time.monotonic()
        try:
            yield outcome
        except ClientGone:
            outcome.gone = True
            raise
        finally:
            seconds = time.monotonic() - started
            metrics.record(outcome, seconds, http.bytes_in, http.bytes_out)
            self._write(http, query, outcome, seconds)

    def _write(
        self, http: HttpConnection, query: HttpQuery, outcome: Outcome, seconds: float
    ) -> None:
        self._logger.info(
            json.dumps(
                {
                    "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "client": http.peer,
                    "method": query.method,
                    "path": query.path[:100],
                    "user": outcome.user[:100],
                    "role": outcome.role,
                    "query_id": query.query_id[:100],
                    "kind": outcome.kind[:20],
                    "status": http.status,
                    "code": outcome.code,
                    "gone": outcome.gone,
                    "bytes_in": http.bytes_in,
                    "bytes_out": http.bytes_out,
                    "ms": round(seconds * 1000, 1),
                    "agent": query.headers.get("user-agent", "")[:100],
                },
                ensure_ascii=True,
            )
        )
