"""NUL-terminated strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenstore_sim.wire.errors import InvalidText
from xenstore_sim.wire.strings import strings, terminated


@given(st.lists(st.text(st.characters(min_codepoint=1, max_codepoint=255))), st.binary(max_size=5))
def test_texts_come_back_and_a_tail_is_left_out(texts: list[str], tail: bytes) -> None:
    assert strings(terminated(*texts) + tail.replace(b"\0", b"")) == texts


@pytest.mark.parametrize("text", ["a\0b", "\0", "a\0", "\u0100"])
def test_a_text_that_would_arrive_as_another_is_refused(text: str) -> None:
    with pytest.raises(InvalidText):
        terminated("fine", text)
