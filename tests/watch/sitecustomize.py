"""Loaded by each Python of a test: notes every attempt to reach another machine."""

import os
import socket
import sys

LOG = os.environ["WATCH_CONNECTIONS"]
HERE = ("127.", "localhost", "::1", "0.0.0.0", socket.gethostname())


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        host = arguments[0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if isinstance(name, str) and name and not name.startswith(HERE):
        with open(LOG, "a") as log:  # noqa: PTH123 - pathlib is not loaded yet
            log.write(f"{event} {name} {sys.argv}\n")


sys.addaudithook(watch)
