"""ClickHouse's compressed blocks, and Native for later protocol versions."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.chserver import native, values
from deploy.chserver.blocks import BlockEncoder, BlockReader
from deploy.chserver.errors import ClickHouseError

# SELECT 1, as a stock server answers it with compress=1.
ONE = bytes.fromhex("de79cf087fb635049db816df195b016b820c000000020000002031") + b"\n"
HEAD = bytes.fromhex("010002ffffffff00")


def unpacked(data: bytes) -> bytes:
    reader = BlockReader(io.BytesIO(data))
    return b"".join(iter(lambda: reader.read(7), b""))


def test_blocks_are_those_of_a_stock_server() -> None:
    assert BlockEncoder("lz4").compress(b"1\n") == ONE and unpacked(ONE) == b"1\n"
    with pytest.raises(ClickHouseError, match="89"):
        BlockEncoder("brotli")


@given(st.lists(st.binary(max_size=3000)), st.sampled_from(["LZ4", "ZSTD", "NONE"]))
def test_blocks_make_the_round_trip(pieces: list[bytes], method: str) -> None:
    encoder = BlockEncoder(method)
    assert unpacked(b"".join(map(encoder.compress, pieces))) == b"".join(pieces)


@given(st.integers(0, 8 * len(ONE) - 1))
def test_a_changed_bit_is_noticed(bit: int) -> None:
    damaged = bytearray(ONE)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ClickHouseError):
        unpacked(bytes(damaged))


def test_a_frame_that_claims_a_terabyte_gets_no_room() -> None:
    frame = bytes.fromhex("28b52ffde0") + (1 << 40).to_bytes(8, "little") + b"\1\0\0"
    block = struct.pack("<BII", 0x90, 9 + len(frame), 10) + frame
    with pytest.raises(ClickHouseError, match="larger size"):
        BlockReader(io.BytesIO(bytes(16) + block), verify=False).read()


def column(name: str, kind: str, data: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([len(kind)]) + kind.encode() + data


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("String", b"\x01a\x85\x01" + b"b" * 133),
        ("Nullable(Int32)", b"\0\1" + b"\0" * 8),
        ("Array(Array(UInt8))", b"\1" + b"\0" * 7 + b"\2" + b"\0" * 7 + b"\1" + b"\0" * 7
         + b"\3" + b"\0" * 7 + b"abc"),
        ("Tuple(`a, (` Int8, b Decimal(18, 3))", b"ab" + b"\0" * 16),
        ("LowCardinality(Nullable(String))", b"\1" + b"\0" * 8 + b"\6" + b"\0" * 6
         + b"\2" + b"\0" * 7 + b"\0\1x" + b"\2" + b"\0" * 7 + b"\0\1"),
        ("Enum8('a)' = 1, 'b, c' = 2)", b"\1\2"),
    ],
)  # fmt: skip
def test_columns_get_their_marks(kind: str, data: bytes) -> None:
    block = b"\2\2" + column("a", kind, data) + column("b", "UInt8", b"\1\2")
    marked = b"\2\2" + column("a", kind, b"\0" + data) + column("b", "UInt8", b"\0\1\2")
    # Twice the same block, so that its end has to be found.
    assert native.upgraded(block * 2, 4, 54460, tuple) == (HEAD + marked) * 2
    assert native.upgraded(block * 2, 4, 54405, tuple) == (HEAD + block) * 2
    assert native.upgraded(block, 2, 0, tuple) == block


def test_what_cannot_be_read_over() -> None:
    block = b"\2\1" + column("a", "JSON", b"...") + column("b", "UInt8", b"\1")
    assert native.upgraded(block, 1, 54405, tuple) == HEAD + block
    with pytest.raises(ClickHouseError, match=r"48.*type JSON: cast"):
        native.upgraded(block, 1, 54454, tuple)
    last = b"\1\1" + column("a", "JSON", b"...")
    assert native.upgraded(last, 1, 54454, tuple) == HEAD + b"\1\1" + column("a", "JSON", b"\0...")


def test_time_zones_come_back() -> None:
    block = b"\1\1" + column("t", "DateTime", b"\0" * 4)
    zoned = HEAD + b"\1\1" + column("t", "DateTime('UTC')", b"\0" * 4)
    assert native.upgraded(block, 1, 54405, lambda: ["DateTime('UTC')"]) == zoned
    assert native.upgraded(block, 1, 54000, lambda: ["DateTime('UTC')"]) == HEAD + block
    assert native.upgraded(block, 1, 54405, tuple) == HEAD + block


@pytest.mark.parametrize(
    ("data", "params", "expected"),
    [
        ("({a:Int8}, {b:String})", {"a": "-1", "b": "it's"}, r"(-1, 'it\'s')"),
        ("({b:String})", {"b": "1"}, "('1')"),
        ("({a:Nullable(String)}, '{a:String}')", {"a": r"\N"}, "(NULL, '{a:String}')"),
        ("({a:Array(String)})", {"a": "['x', 'y']"}, "(['x', 'y'])"),
        ("({a:DateTime})", {"a": "2024-01-01 00:00:00"}, "('2024-01-01 00:00:00')"),
        ("({a:String})", {"a": r"x\ty"}, "('x\ty')"),
    ],
)
def test_parameters_become_literals(data: str, params: dict[str, str], expected: str) -> None:
    assert b"".join(values.filled(iter([data.encode()]), params)).decode() == expected


@pytest.mark.parametrize("value", ["[file('x')]", "[1], (SELECT 1)", "[1] + [now()]"])
def test_nested_parameters_are_literals_only(value: str) -> None:
    with pytest.raises(ClickHouseError, match="36"):
        list(values.filled(iter([b"({a:Array(String)})"]), {"a": value}))
