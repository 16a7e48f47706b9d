"""Shrinks scripts in the HTML file to a third: gzip, encoded in base 85."""

import gzip
from base64 import b85encode
from dataclasses import dataclass

# Python's base-85 alphabet, with a comma in place of "<", which could start a tag.
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~"


@dataclass(frozen=True)
class Packed:
    """A packed script.

    Attributes:
        text: Five letters per four bytes, most significant first.
        size: Number of bytes without the padding of the last group.
        alphabet: The letters in order of their value.
    """

    text: str
    size: int
    alphabet: str = ALPHABET


def pack(script: str) -> Packed:
    """Pack a script; the result is deterministic."""
    packed = gzip.compress(script.encode(), compresslevel=9, mtime=0)
    return Packed(b85encode(packed, pad=True).decode().replace("<", ","), len(packed))
