"""Listings in portions."""

import pytest

from xenstore_sim.client.listing import PartialListing
from xenstore_sim.wire.errors import ProtocolViolation


def test_portions_are_put_together() -> None:
    listing = PartialListing()
    listing.add(b"7\0a\0bc\0")
    assert (listing.offset, listing.complete) == (5, False)
    listing.add(b"7\0d\0\0")
    assert listing.complete
    assert listing.names == ("a", "bc", "d")


@pytest.mark.parametrize("last", [b"7\0\0", b"7\0"])
def test_an_empty_portion_is_the_last(last: bytes) -> None:
    listing = PartialListing()
    listing.add(b"7\0a\0")
    listing.add(last)
    assert (listing.complete, listing.names) == (True, ("a",))


def test_a_changed_directory_is_read_from_its_beginning() -> None:
    listing = PartialListing()
    listing.add(b"7\0a\0")
    listing.add(b"8\0b\0\0")
    assert (listing.offset, listing.complete) == (0, False)
    listing.add(b"8\0x\0b\0\0")
    assert (listing.complete, listing.names) == (True, ("x", "b"))


@pytest.mark.parametrize("payload", [b"", b"7", b"7\0a", b"7\0a\0b"])
def test_half_a_name_is_a_violation(payload: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        PartialListing().add(payload)
