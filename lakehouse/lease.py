"""One stage at a time: on a home by a lock file, on a lake by a lease.

A lease is an object in the store, written on conditions (S3's ``If-None-Match`` and ``If-Match``),
so that of any number of writers one wins. The holder renews it; a lease that has not changed for
``EXPIRES_SECONDS`` by the waiter's own clock has lost its holder, and is taken over. No two clocks
are compared.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from catalog.objects import object_store
from catalog.settings import S3Settings
from lakehouse.errors import ServiceError
from lakehouse.locks import exclusive

FOLDER = "leases"
RENEW_SECONDS = 10.0
EXPIRES_SECONDS = 60.0
POLL_SECONDS = 1.0
# The condition does not hold, or another conditional write is under way.
BUSY = {"PreconditionFailed", "ConditionalRequestConflict"}
WITHOUT_CONDITIONS = {"NotImplemented", "InvalidArgument", "InvalidRequest"}
log = logging.getLogger("weekahead")


@contextmanager
def alone(home: Path, s3: S3Settings, stage: str) -> Iterator[None]:
    """Run a stage while no other command runs it: of this home, or of another one on the lake.

    Args:
        home: The home.
        s3: The object store that the homes of a lake share.
        stage: Which work excludes itself, such as ``train``.

    Raises:
        ServiceError: The object store does not answer.
    """

    def waiting() -> None:
        log.info("%s: waiting for another weekahead command that does the same", stage)

    folder = home.absolute() / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = exclusive(folder / f"{stage}.lock", waiting=waiting)
    with lock, Lease(s3, stage, _place(folder)):
        yield


def _place(folder: Path) -> str:
    """What tells one home from another, a copy of it and one in another container included."""
    return f"{socket.gethostname()}:{folder}:{folder.stat().st_ino}"


@dataclass
class Lease:
    """A lease of one stage on a lake; ``with`` waits for it, renews it and gives it back.

    Attributes:
        s3: Address and keys of the object store.
        stage: What is leased.
        holder: Who asks. What the same holder has left behind, killed, is taken over at once, so
            a holder must exclude itself.
    """

    s3: S3Settings
    stage: str
    holder: str
    _ended: Event = field(default_factory=Event)
    _etag: str | None = None
    _renewing: Thread | None = None

    def __post_init__(self) -> None:
        """Open no connection yet."""
        self._store = object_store(self.s3)
        self._where = {
            "Bucket": self.s3.artifacts_bucket,
            "Key": f"{FOLDER}/{self.stage}.json",
        }

    def __enter__(self) -> "Lease":
        """Wait until no one else holds the lease.

        Raises:
            ServiceError: The object store does not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._etag = self._acquire()
        except ClientError as error:
            if _code(error) not in WITHOUT_CONDITIONS:
                raise ServiceError(
                    f"The object store refuses the lease of {self.stage} ({_code(error)}). The "
                    f"writing account must be able to write {FOLDER}/ in the bucket "
                    f"{self._where['Bucket']} (setting s3.artifacts_bucket)."
                ) from error
            log.warning(
                "the object store does not support conditional writes: do not run %s on two homes "
                "at once",
                self.stage,
            )
            return self
        except BotoCoreError as error:
            raise ServiceError(f"The object store does not answer: {error}") from error
        self._renewing = Thread(target=self._renew, daemon=True, name=f"lease of {self.stage}")
        self._renewing.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lease back; one that cannot be given back expires."""
        from botocore.exceptions import BotoCoreError, ClientError

        self._ended.set()
        if self._renewing is None:
            return
        self._renewing.join()
        if self._etag:
            try:
                self._store.delete_object(**self._where, IfMatch=self._etag)
            except (BotoCoreError, ClientError) as error:
                log.debug("the lease of %s was not given back: %s", self.stage, error)

    def _acquire(self) -> str:
        seen: tuple[str, float] | None = None
        while True:
            if (etag := self._write(IfNoneMatch="*")) is not None:
                return etag
            found = self._read()
            if found is None:
                continue
            etag, held = found
            now = time.monotonic()
            if seen is None:
                self._say_waiting(held)
            if seen is None or seen[0] != etag:
                seen = (etag, now)
            left_behind = held.get("holder") == self.holder
            if left_behind or now - seen[1] > EXPIRES_SECONDS:
                if (taken := self._write(IfMatch=etag)) is not None:
                    return taken
                continue
            time.sleep(POLL_SECONDS)

    def _say_waiting(self, held: dict[str, Any]) -> None:
        if held.get("holder") != self.holder:
            log.info(
                "%s: waiting for the same work of another home on this lake (process %s on %s, "
                "since %s)",
                self.stage,
                *(held.get(name, "unknown") for name in ("process", "host", "since")),
            )

    def _renew(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        while not self._ended.wait(RENEW_SECONDS):
            try:
                renewed = self._write(IfMatch=self._etag)
            except (BotoCoreError, ClientError) as error:
                # The store may be back before the lease expires.
                log.debug("the lease of %s was not renewed: %s", self.stage, error)
                continue
            if renewed is None:
                log.warning(
                    "another home took over the lease of %s: this process was suspended for more "
                    "than %.0f seconds",
                    self.stage,
                    EXPIRES_SECONDS,
                )
                self._etag = None
                return
            self._etag = renewed

    def _write(self, **condition: Any) -> str | None:
        """Write the lease if the condition holds; the new ETag, or None."""
        from botocore.exceptions import ClientError

        said = {
            "holder": self.holder,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            # Each renewal is another object, with another ETag.
            "token": uuid4().hex,
        }
        try:
            answer = self._store.put_object(**self._where, Body=json.dumps(said), **condition)
        except ClientError as error:
            if _code(error) in BUSY:
                return None
            raise
        return str(answer["ETag"])

    def _read(self) -> tuple[str, dict[str, Any]] | None:
        """ETag and content; None when it has been given back."""
        from botocore.exceptions import ClientError

        try:
            answer = self._store.get_object(**self._where)
        except ClientError as error:
            if _code(error) in ("NoSuchKey", "404"):
                return None
            raise
        try:
            held = json.loads(answer["Body"].read())
        except ValueError:
            held = {}
        return str(answer["ETag"]), held if isinstance(held, dict) else {}


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
