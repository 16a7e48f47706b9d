"""Scripts that an HTML file carries in a third of their size: gzip, as letters of base 85."""

import gzip
from base64 import b85encode
from dataclasses import dataclass

# Python's alphabet of base 85, with a comma for what could begin a tag.
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~"


@dataclass(frozen=True)
class Packed:
    """A packed script.

    Attributes:
        text: Five letters for four bytes, the first being worth most.
        size: Bytes before the padding of the last four.
        alphabet: The letters by value.
    """

    text: str
    size: int
    alphabet: str = ALPHABET


def pack(script: str) -> Packed:
    """Pack a script; the same text gives the same letters."""
    packed = gzip.compress(script.encode(), compresslevel=9, mtime=0)
    return Packed(b85encode(packed, pad=True).decode().replace("<", ","), len(packed))
