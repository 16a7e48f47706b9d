"""An outsider without secrets (another account, or a web page) at every listening socket."""

import encodings.idna  # noqa: F401 - a stranger cannot load it from a private environment
import os
import pickle
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from deploy.local.state import load_state
from lakehouse.home import Home
from tests.homes import marked

T = TypeVar("T")
NOBODY = 65534
EVIL = "evil.example"
LISTENING = "00010000"
SECONDS = 1.5


def as_stranger(action: Callable[[], T]) -> T:
    """Run a function in a process of another account; returns its result or raises its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            outcome: tuple[bool, object] = (True, action())
        except BaseException as error:
            outcome = (False, error)
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(outcome, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        succeeded, value = pickle.load(pipe)
    os.waitpid(child, 0)
    if not succeeded:
        raise value
    return value


@dataclass(frozen=True)
class Door:
    """A listening socket.

    Attributes:
        name: Service and port as in ``weekahead status``, or the program.
        address: A port of the loopback interface, or the path of a Unix socket; an abstract one
            starts with ``@``.
        host: Where the port is.
    """

    name: str
    address: int | str
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    """The response to an outsider's request."""

    door: str
    request: str
    status: int
    head: str
    body: bytes


def processes(home: Home) -> list[psutil.Process]:
    """Every process of a home; copies of a home share its mark, so the path must match too."""
    path = str(home.path)
    found = []
    for process in marked(home.path):
        with suppress(psutil.Error):
            if path in " ".join((*process.cmdline(), *process.environ().values())):
                found.append(process)
    return found


def doors(home: Home) -> list[Door]:
    """Every listening socket of a home's processes."""
    ports = load_state(home).ports.items()
    names = {port: f"{s}.{name}" for s, known in ports for name, port in known.items()}
    listening = _unix_sockets()
    found = set()
    for process in processes(home):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1", connection
                port = connection.laddr.port
                found.add(Door(names.get(port, process.name()), port))
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            inode = str(link.readlink()).removeprefix("socket:[").removesuffix("]")
            if inode in listening:
                found.add(Door(process.name(), listening[inode]))
    return sorted(found, key=lambda door: (door.name, str(door.address)))


def _unix_sockets() -> dict[str, str]:
    """Path by inode of all Unix sockets that listen."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {words[6]: words[7] for words in lines if words[3] == LISTENING and len(words) > 7}


def requests(host: str) -> Iterator[tuple[str, bytes]]:
    """Requests by name: what reads, writes or deletes somewhere, or looks like a web page's."""
    paths = {
        "GET": (
            *("/", "/dir/status", "/dir/assign", "/dir/lookup?volumeId=1", "/vol/status"),
            *("/col/delete?collection=lake", "/vol/grow?count=1", "/cluster/status", "/submit"),
            *(
                "/status",
                "/healthz",
                "/stats/memory",
                "/ui/index.html",
                "/debug/pprof/",
                "/metrics",
            ),
            *("/buckets/", "/buckets/lake/?limit=9", "/lake", "/lake?list-type=2", "/artifacts"),
            *("/v1/config", "/v1/lake/namespaces", "/v1/lake/namespaces/raw/tables"),
            *("/ping", "/?query=SELECT%201", "/replicas_status", "/play", "/dashboard"),
            *("/api/admin/settings", "/api/flow_runs/count", "/api/variables/", "/api/docs"),
            *("/ui-settings", "/openapi.json", "/docs", "/api/health", "/api/ready", "/health"),
            *("/version", "/signup", "/static-files/index.html", "/get-artifact?path=MLmodel"),
            "/api/2.0/mlflow/experiments/search?max_results=1",
            "/ajax-api/2.0/mlflow/registered-models/search",
            "/ajax-api/3.0/mlflow/server-info",
            "/api/v2/dags",
            "/api/v1/dashboard/",
        ),
        "POST": (
            *("/", "/?query=DROP%20DATABASE%20marts", "/RPC2", "/api/flow_runs/filter"),
            *(
                "/api/deployments/filter",
                "/v1/lake/namespaces",
                "/buckets/lake/planted",
                "/graphql",
            ),
            "/api/2.0/mlflow/users/create",
            "/api/2.0/mlflow/experiments/create",
        ),
        "PUT": ("/artifacts/planted", "/buckets/artifacts/planted", "/planted"),
        "DELETE": ("/artifacts", "/buckets/lake?recursive=true", "/v1/lake/namespaces/raw"),
    }
    common = f"Host: {host}\r\n"
    for method, each in paths.items():
        for path in each:
            body = b"{}" if method in ("POST", "PUT") else b""
            head = f"{method} {path} HTTP/1.1\r\n{common}Content-Length: {len(body)}\r\n"
            kind = "Content-Type: application/json\r\nConnection: close\r\n\r\n"
            yield f"{method} {path}", (head + kind).encode() + body
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: c3RyYW5nZXIgc3RyYW5nZQ==\r\n\r\n"
    for path in ("/", "/api/events/in", "/api/events/out", "/api/logs/out"):
        yield f"UPGRADE {path}", f"GET {path} HTTP/1.1\r\n{common}{upgrade}{key}".encode()
    yield "CONNECT", f"CONNECT {EVIL}:80 HTTP/1.1\r\nHost: {EVIL}:80\r\n\r\n".encode()
    yield "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


# Pages and health checks that anyone may see; they contain no data.
PUBLIC = {
    "seaweedfs.s3": {"GET /status", "GET /healthz"},
    "seaweedfs.catalog": {"GET /v1/config"},
    # An upgrade is not heeded: the answer is that to GET.
    "clickhouse.http": {
        *("GET /", "UPGRADE /", "GET /ping", "GET /replicas_status", "GET /metrics"),
    },
    "prefect.api": {
        *("GET /", "GET /?query=SELECT%201", "GET /docs", "GET /openapi.json", "GET /ui-settings"),
        *("GET /api/health", "GET /api/ready"),
    },
    "mlflow.http": {"GET /health", "GET /version"},
    "worker.health": {"GET /health", "GET /docs", "GET /openapi.json"},
    # Airflow's and Superset's pages ask for a login; they show nothing before it.
    "airflow.api": {"GET /", "GET /docs", "GET /openapi.json"},
    "superset.http": {
        *("GET /", "GET /?query=SELECT%201", "GET /ping", "GET /health", "GET /version"),
    },
}
# Of these, those that even a page of another site may ask for: other people's servers answer them
# whatever they are called.
SIGNS_OF_LIFE = {
    **PUBLIC,
    **{name: set[str]() for name in ("prefect.api", "airflow.api", "superset.http")},
}


def intrude(home: Home, public: dict[str, set[str]] = PUBLIC, **page: str) -> list[Answer]:
    """What a stranger gets from a home's sockets beyond what is public.

    Args:
        home: Its services run.
        public: Requests by door that anybody may make.
        page: ``host`` and ``origin`` of a web page that asks.
    """
    found = doors(home)
    assert any(isinstance(door.address, int) for door in found)
    assert as_stranger(lambda: unix_doors_that_open(found)) == []
    answers = as_stranger(lambda: knock(found, **page))
    return [each for each in answers if each.request not in public.get(each.door, ())]


def knock(found: list[Door], host: str = "127.0.0.1", origin: str = "") -> list[Answer]:
    """All requests to all ports; those that succeeded."""
    ports = [door for door in found if isinstance(door.address, int)]
    with ThreadPoolExecutor(len(ports)) as pool:
        answers = pool.map(lambda door: _knock(door, host, origin), ports)
    return [answer for each in answers for answer in each]


def _knock(door: Door, host: str, origin: str) -> list[Answer]:
    """In plain text, and by TLS without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    answers = []
    for name, request in requests(host):
        if origin:
            request = request.replace(b"\r\n", f"\r\nOrigin: {origin}\r\n".encode(), 1)
        answers.append(_ask(door, name, request))
        answers.append(_ask(door, f"TLS {name}", request, context))
    return [answer for answer in answers if answer]


def _ask(
    door: Door, name: str, request: bytes, context: ssl.SSLContext | None = None
) -> Answer | None:
    received = b""
    # A socket that is closed, or stays open and silent, gives nothing.
    with suppress(OSError), socket.create_connection((door.host, int(door.address))) as plain:
        plain.settimeout(SECONDS)
        stream = context.wrap_socket(plain) if context else plain
        stream.sendall(request)
        while len(received) < 1 << 16 and (more := stream.recv(1 << 16)):
            received += more
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split()
    if not head.startswith(b"HTTP/1") or len(words) < 2:
        return None
    status = int(words[1])
    return Answer(door.name, name, status, head.decode("latin-1"), body) if status < 400 else None


def unix_doors_that_open(found: list[Door]) -> list[str]:
    """Paths of Unix sockets that accept an outsider."""
    opened = []
    for door in found:
        if isinstance(door.address, str):
            with socket.socket(socket.AF_UNIX) as client:
                address = door.address
                try:
                    client.connect(f"\0{address[1:]}" if address.startswith("@") else address)
                except OSError:
                    continue
                opened.append(address)
    return opened


def files_with(secrets: Mapping[str, str], paths: Iterable[Path]) -> list[tuple[str, str]]:
    """Names of secrets, and the files that contain them."""
    values = {name: value.encode() for name, value in secrets.items()}
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            if path.is_file():
                content = path.read_bytes()
                found += [(name, str(path)) for name, value in values.items() if value in content]
    return found
