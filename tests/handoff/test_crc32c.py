from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.crc32c import crc32c


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value every catalogue of CRCs gives
        # RFC 3720, appendix B.4: printed there byte by byte, the lowest first.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_vectors(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


def bit_by_bit(data: bytes) -> int:
    """The polynomial division itself, without a table."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            low = (crc ^ (byte >> bit)) & 1
            crc = (crc >> 1) ^ (0x82F63B78 if low else 0)
    return crc ^ 0xFFFFFFFF


@given(st.binary(max_size=64))
def test_the_table_divides_as_the_polynomial_does(data: bytes) -> None:
    assert crc32c(data) == bit_by_bit(data)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_every_flipped_bit_shows(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) * 8 - 1))
    flipped = bytearray(data)
    flipped[at // 8] ^= 1 << at % 8
    assert crc32c(bytes(flipped)) != crc32c(data)
