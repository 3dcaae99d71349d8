from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import GPA_LIMIT, GpaRange
from handoff.errors import DescriptorRefused
from handoff.fields import Fields, unpack_canonical
from tests.builders import outcome
from tests.strategies import trees


class Colour(Enum):
    RED = "red"
    TWO = 2


def fields(value: object) -> Fields:
    return Fields(value, "payload")


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(DescriptorRefused) as refused:
        read()
    return str(refused.value)


@given(st.dictionaries(st.text(max_size=8), trees, max_size=4))
def test_what_msgpack_writes_is_canonical(tree: dict[str, Any]) -> None:
    left = unpack_canonical(msgpack.packb(tree))
    if tree:
        assert "is not a known key" in refusal(left.done)
    else:
        left.done()


@pytest.mark.parametrize(
    "payload",
    [
        b"\x82\xa1a\x01\xa1a\x02",  # a twice
        b"\x81\xa1a\xcc\x01",  # 1 in two bytes
        b"\x81\xd9\x01a\x01",  # key with a length byte it does not need
        b"\xde\x00\x01\xa1a\x01",  # map with a 16-bit count
        b"\x81\xa1a\xca\x00\x00\x00\x00",  # 32-bit float
    ],
)
def test_a_second_spelling_is_refused(payload: bytes) -> None:
    assert "not in canonical form" in refusal(lambda: unpack_canonical(payload))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x81",
        b"\x81\xa1a",
        b"\x80\x00",  # a tail
        b"\xc1",  # reserved
        b"\x81\x01\x01",  # number as key
        b"\x81\xa1\xff\x01",  # not UTF-8
        b"\xdf\xff\xff\xff\xff",  # map of 4 Gi entries
        b"\x81\xa1a\xc6\xff\xff\xff\xff",  # 4 GiB of bytes
        b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",  # timestamp
        b"\x81\xa1a" * 5000 + b"\x80",  # deeper than any stack
        b"\x81\xa1a" + b"\x91" * 5000 + b"\x80",
    ],
)
def test_what_is_not_one_plain_value_is_refused(payload: bytes) -> None:
    assert refusal(lambda: unpack_canonical(payload)).startswith("payload: not one msgpack value")


@pytest.mark.parametrize("depth", [1, 100, 500, 512, 1000, 1023, 1024, 1025])
def test_any_depth_is_refused_in_the_same_way(depth: int) -> None:
    payload = b"\x81\xa1a" + b"\x91" * depth + b"\x01"
    assert refusal(lambda: unpack_canonical(payload).done())


@given(st.binary(max_size=60))
def test_any_bytes_give_fields_or_a_refusal(payload: bytes) -> None:
    found = outcome(lambda: unpack_canonical(payload), DescriptorRefused)
    assert isinstance(found, Fields) or found.path == "payload"


@pytest.mark.parametrize("value", [None, 1, "text", b"bytes", [], {b"key": 1}])
def test_only_a_map_with_text_keys_is_a_map(value: object) -> None:
    assert refusal(lambda: fields(value)).startswith("payload: must be a map")


@given(
    trees,
    st.sampled_from(["integer", "binary", "text", "choice", "range", "each"]),
)
def test_a_value_is_of_the_type_asked_for_or_refused_by_its_path(value: Any, kind: str) -> None:
    inner = Fields({"key": value, "size": 1}, "images[1]")
    reads: dict[str, tuple[Callable[[], object], type]] = {
        "integer": (lambda: inner.integer("key", -5, 1 << 60), int),
        "binary": (lambda: inner.binary("key", 0, 30), bytes),
        "text": (lambda: inner.text("key", 15), str),
        "choice": (lambda: inner.choice("key", Colour), Colour),
        "range": (lambda: inner.range("key", "size"), GpaRange),
        "each": (lambda: inner.each("key", 3, lambda item: item), tuple),
    }
    read, type_ = reads[kind]
    found = outcome(read, DescriptorRefused)
    if isinstance(found, DescriptorRefused):
        assert found.path.startswith("images[1].key")
        assert str(found).isprintable()
    else:
        assert isinstance(found, type_)
        assert not isinstance(found, bool)


@pytest.mark.parametrize("value", [4, 11, True, 7.0, "7", None])
def test_a_number_is_whole_and_within_its_bounds(value: object) -> None:
    assert "k: must be a number in 0x5..0xa" in refusal(
        lambda: fields({"k": value}).integer("k", 5, 10)
    )
    assert [fields({"k": n}).integer("k", 5, 10) for n in (5, 10)] == [5, 10]


@pytest.mark.parametrize("value", [b"", b"12345", "123", [1, 2, 3]])
def test_bytes_have_a_length_within_bounds(value: object) -> None:
    assert "k: must be 1 to 4 bytes" in refusal(lambda: fields({"k": value}).binary("k", 1, 4))
    assert [fields({"k": v}).binary("k", 1, 4) for v in (b"1", b"1234")] == [b"1", b"1234"]


@pytest.mark.parametrize("value", ["12345", "a\n", "\x1b[2J", "\xfc", b"abc", 5])
def test_text_is_printable_ascii_of_bounded_length(value: object) -> None:
    assert "k: must be printable text up to 4" in refusal(lambda: fields({"k": value}).text("k", 4))
    assert fields({"k": " ~"}).text("k", 4) == " ~"


@pytest.mark.parametrize("value", ["RED", "", 2.0, True, None, ["red"]])
def test_a_choice_is_one_of_the_values_of_its_set(value: object) -> None:
    assert "k: must be one of red, 2" in refusal(lambda: fields({"k": value}).choice("k", Colour))
    assert [fields({"k": v}).choice("k", Colour) for v in ("red", 2)] == [Colour.RED, Colour.TWO]


@pytest.mark.parametrize(
    ("start", "size"),
    [(0, 0), (-1, 2), (5, -1), (GPA_LIMIT, 1), (1, GPA_LIMIT), (True, 1), (0, True), ("0", 1)],
)
def test_a_range_is_never_empty_and_never_leaves_the_address_space(
    start: object, size: object
) -> None:
    assert refusal(lambda: fields({"s": start, "n": size}).range("s", "n")).startswith("s: ")


def test_a_list_is_bounded_and_its_items_are_read_to_the_last_key() -> None:
    def read(item: Fields) -> int:
        return item.integer("n", 0, 9)

    assert fields({"k": [{"n": 1}, {"n": 2}]}).each("k", 2, read) == (1, 2)
    assert "k: must be a list of at most 1" in refusal(
        lambda: fields({"k": [{"n": 1}, {"n": 2}]}).each("k", 1, read)
    )
    assert refusal(lambda: fields({"k": [{"n": 1}, {"n": 10}]}).each("k", 2, read)).startswith(
        "k[1].n: "
    )
    assert refusal(lambda: fields({"k": [{"n": 1, "more": 2}]}).each("k", 2, read)) == (
        "k[0].more: is not a known key"
    )


def test_a_missing_key_is_named() -> None:
    assert refusal(lambda: Fields({}, "images[3]").integer("role", 0, 1)) == (
        "images[3].role: is missing"
    )


def test_a_reader_can_refuse_what_only_it_understands() -> None:
    assert refusal(lambda: Fields({}, "moves[0]").refuse("to", "is two")) == "moves[0].to: is two"


@given(st.text(min_size=1, max_size=60))
def test_an_unknown_key_is_named_without_doing_anything_to_a_terminal(key: str) -> None:
    assert refusal(fields({key: 1}).done).isprintable()
