"""The HTTP side over a real socket pair, without an engine: requests as they should not be."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.chserver.errors import BadRequest, ClickHouseError, ClientGone
from deploy.chserver.request import HttpQuery
from deploy.chserver.wire import HttpConnection, RequestBody, WireLimits

LIMITS = WireLimits(idle=2, head=0.5, body_silence=0.5, send=2, head_bytes=4096)


def serve(sent: bytes, *, close: bool = True) -> tuple[list[bytes], bytes, BaseException | None]:
    """Give ``sent`` to a connection that echoes; return bodies, answers, and how it ended."""
    client, server = socket.socketpair()
    bodies: list[bytes] = []
    ended: BaseException | None = None
    connection = HttpConnection(server, LIMITS)
    with client:
        client.sendall(sent)
        if close:
            client.shutdown(socket.SHUT_WR)
        try:
            while (head := connection.next_request()) is not None:
                query = HttpQuery.parse(
                    head.method.decode("ascii"), head.target, [(n, v) for n, v in head.headers]
                )
                body = RequestBody(connection, 10_000)
                received = b""
                while piece := body.read(1000):
                    received += piece
                bodies.append(received)
                connection.respond(200, [("X-Id", query.query_id)], received)
        except (BadRequest, ClickHouseError, ClientGone) as error:
            ended = error
        server.close()
        answers = b""
        while piece := client.recv(65536):
            answers += piece
    return bodies, answers, ended


@pytest.fixture(autouse=True)
def _tcp_options(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A socket pair is no TCP connection and has no such option.
    monkeypatch.setattr(socket, "IPPROTO_TCP", socket.SOL_SOCKET)
    monkeypatch.setattr(socket, "TCP_NODELAY", socket.SO_KEEPALIVE)
    yield


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        ("Content-Length: 5", b"hello", [b"hello"]),
        ("Transfer-Encoding: chunked", b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", [b"hello"]),
        ("Content-Length: 0", b"", [b""]),
    ],
)
def test_bodies(head: str, body: bytes, expected: list[bytes]) -> None:
    bodies, answers, ended = serve(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + body)
    assert bodies == expected and answers.startswith(b"HTTP/1.1 200") and ended is None


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: -1", b"x"),
        ("Content-Length: 1e3", b"x"),
        ("Content-Length: 5\r\nContent-Length: 6", b"hello!"),
        ("Content-Length: 99999999999999999999999", b"x"),
        ("Content-Length: 5", b"hel"),
        ("Transfer-Encoding: chunked", b"-3\r\nhel\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"zz\r\n"),
        ("Transfer-Encoding: chunked", b"3\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"fffffffffffffffffffff\r\nx"),
        ("Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"3\r\nhe"),
        ("Content-Length: 20000", b"x" * 20000),
        ("Bad Header: x", b""),
    ],
)
def test_bodies_and_heads_that_are_refused(head: str, body: bytes) -> None:
    bodies, _, ended = serve(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + body)
    assert bodies == [] and isinstance(ended, BadRequest | ClickHouseError)


def test_endless_head() -> None:
    ended = serve(b"GET / HTTP/1.1\r\nX: " + b"y" * 5000, close=False)[2]
    assert isinstance(ended, BadRequest) and ended.status == 431


def test_slow_head_and_silent_body_are_cut_off() -> None:
    before = time.monotonic()
    assert isinstance(serve(b"GET / HT", close=False)[2], BadRequest)
    _, _, ended = serve(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhal", close=False)
    assert isinstance(ended, ClickHouseError) and ended.code == 209
    assert time.monotonic() - before < 20


def test_a_drop_a_second_is_still_too_slow() -> None:
    client, server = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            client.send(b"X")

    client.sendall(b"GET / HTTP/1.1\r\nA: ")
    thread = threading.Thread(target=drip)
    thread.start()
    before = time.monotonic()
    with pytest.raises(BadRequest):
        HttpConnection(server, LIMITS).next_request()
    assert time.monotonic() - before < 20
    stop.set()
    thread.join()
    client.close()
    server.close()


REQUESTS = st.lists(
    st.sampled_from(
        [b"GET /", b"POST /?a=%ff&b", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9", b"\r\n", b"\n",
         b"\r\n\r\n", b"Host: x\r\n", b"Content-Length: 3\r\n", b"Content-Length: x\r\n",
         b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n", b"\x00",
         b"Expect: 100-continue\r\n", b"Connection: close\r\n", b": x\r\n", b" folded\r\n", b"abc"]
    )
    | st.binary(max_size=20),
    max_size=12,
).map(b"".join)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(REQUESTS)
def test_whatever_arrives_ends_in_order(sent: bytes) -> None:
    bodies, answers, ended = serve(sent)
    # Each body that was read to its end is answered, and nothing else is.
    assert answers.count(b"HTTP/1.1 200") == len(bodies)
    assert ended is None or str(ended)


def framed(body: bytes, cuts: list[int]) -> bytes:
    """A request with ``body`` in chunks of the given sizes, or with its length for none."""
    if not cuts:
        return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    chunks = b""
    for cut in (*cuts, len(body)):
        piece, body = body[:cut], body[cut:]
        chunks += b"%x;a=b\r\n%s\r\n" % (len(piece), piece) if piece else b""
    return (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunks
        + b"0\r\nX-Trailer: y\r\n\r\n"
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.binary(max_size=60), st.lists(st.integers(1, 20), max_size=4)), max_size=5
    ),
    st.sampled_from([b"", b"GET / HT", b"\x00", b"POST / HTTP/1.1\r\n\r\n", b"0\r\n\r\n"]),
)
def test_pipelined_requests_keep_their_bodies(
    requests: list[tuple[bytes, list[int]]], rest: bytes
) -> None:
    sent = b"".join(framed(body, cuts) for body, cuts in requests) + rest
    bodies, answers, ended = serve(sent)
    assert bodies == [body for body, _ in requests]
    assert answers.count(b"HTTP/1.1 200") == len(requests)
    assert (ended is None) == (rest == b"")


@pytest.mark.parametrize("name", ["GET", "POST", "CONNECT"])
def test_an_upgrade_is_the_last_request(name: str) -> None:
    head = f"{name} /ping HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n".encode()
    before = time.monotonic()
    bodies, answers, ended = serve(head + framed(b"abc", []), close=False)
    assert time.monotonic() - before < LIMITS.idle
    if name == "CONNECT":
        assert bodies == [] and isinstance(ended, BadRequest) and ended.status == 501
    else:
        assert bodies == [b""] and ended is None
        assert answers.count(b"HTTP/1.1 ") == 1 and b"connection: close" in answers.lower()


def test_a_trickle_is_not_a_body() -> None:
    client, server = socket.socketpair()
    limits = WireLimits(idle=2, head=1, body_silence=0.3, body_rate=1e6, send=2)
    connection = HttpConnection(server, limits)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            client.send(b"x")

    thread = threading.Thread(target=drip)
    assert connection.next_request() is not None
    thread.start()
    before = time.monotonic()
    with pytest.raises(ClickHouseError, match="209"):
        while connection.read_body():
            pass
    assert time.monotonic() - before < 20
    stop.set()
    thread.join()
    client.close()
    server.close()


@settings(max_examples=300)
@given(
    st.binary(max_size=80).map(lambda b: b"/?" + b),
    st.lists(st.tuples(st.sampled_from([b"authorization", b"x-clickhouse-user", b"user-agent"]),
                       st.binary(max_size=20))),
)  # fmt: skip
def test_any_address_and_credentials(target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    try:
        query = HttpQuery.parse("GET", target, headers)
        assert query.query_id and isinstance(query.settings, dict)
        query.credentials()
        query.number("session_timeout", 60)
    except (BadRequest, ClickHouseError) as error:
        assert str(error)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(["x", "", '"', "=?utf-8?q?x?=", "--"]))
def test_any_form(body: bytes, boundary: str) -> None:
    query = HttpQuery.parse("POST", b"/", [])
    try:
        query.add_form(f"multipart/form-data; boundary={boundary}", b"--x\r\n" + body)
    except ClickHouseError as error:
        assert error.code == 36
