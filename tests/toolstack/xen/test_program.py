"""A program is run to its end, whatever it says and however long it takes."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolstack.xen import program
from toolstack.xen.program import KEPT_BYTES, Said, run_to_end


@given(chunks=st.lists(st.binary(max_size=9), max_size=20), kept=st.integers(1, 20))
def test_the_beginning_and_the_end_are_kept_whatever_the_length(
    chunks: list[bytes], kept: int
) -> None:
    said, whole = Said(kept), b"".join(chunks)
    for chunk in chunks:
        said.add(chunk)
    if len(whole) <= 2 * kept:
        assert said.content() == whole
    else:
        assert said.content() == whole[:kept] + b"\n[...]\n" + whole[-kept:]


async def test_streams_are_apart_and_can_be_one() -> None:
    argv = ("sh", "-c", "echo out; echo err >&2; exit 3")
    ended = await run_to_end(argv, 30)
    assert ended is not None
    assert (ended.status, ended.stdout, ended.stderr) == (3, b"out\n", b"err\n")


async def test_of_endless_words_no_more_is_kept_than_the_bound() -> None:
    script = f"import sys; sys.stdout.write('y' * {8 * KEPT_BYTES}); print('last')"
    ended = await run_to_end((sys.executable, "-I", "-c", script), 60)
    assert ended is not None
    assert len(ended.stdout) <= 2 * KEPT_BYTES + 10
    assert ended.stdout.endswith(b"last\n")


@pytest.mark.parametrize("script", ["exec cat", "trap '' TERM; exec cat"])
async def test_one_that_does_not_end_is_killed_without_a_word_of_trios(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "TERM_S", 0.1)
    reader, writer = os.pipe()
    try:
        # It waits for words that nobody writes.
        assert await run_to_end(("sh", "-c", script), 0.5, stdin=reader) is None
    finally:
        os.close(reader)
        os.close(writer)


async def test_one_that_cannot_be_started_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        await run_to_end(("/no/such/program",), 30)
