"""Numbers as C reads them."""

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenstore_sim.wire.c_numbers import atoi, unsigned_atoi, whole_unsigned

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.strtol.restype = ctypes.c_long
NUMBERS = st.from_regex(r"[ \t]{0,2}[+-]?(0[xX])?[0-9a-fA-F]{0,21}[ x8]?", fullmatch=True)


@given(NUMBERS | st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=8))
def test_atoi_is_the_one_of_the_c_library(text: str) -> None:
    assert atoi(text) == LIBC.atoi(text.encode("ascii"))
    assert unsigned_atoi(text) == LIBC.atoi(text.encode("ascii")) % 2**32


@given(NUMBERS)
def test_a_whole_number_is_what_strtol_takes_to_the_end(text: str) -> None:
    data = ctypes.create_string_buffer(text.encode("ascii"))
    end = ctypes.c_char_p()
    value = LIBC.strtol(data, ctypes.byref(end), 0)
    whole = end.value == b"" and any(char in "0123456789" for char in text)
    assert whole_unsigned(text) == (value % 2**32 if whole else None)


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("0x1F", 31), ("010", 8), ("-1", 0xFFFFFFFF), (" +3", 3), ("08", None), ("", None)],
)
def test_whole_numbers_come_in_every_base(text: str, value: int | None) -> None:
    assert whole_unsigned(text) == value


@pytest.mark.parametrize(("text", "value"), [("x", 0), ("-1", 2**32 - 1), ("5x", 5), ("", 0)])
def test_atoi_makes_something_of_everything(text: str, value: int) -> None:
    assert unsigned_atoi(text) == value
