"""A reader that does not read costs a run some seconds at most, and the reader its lines."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import pytest

from toolstack.patient_stream import PatientStream

PIPE_BYTES = 4096
"""The smallest; one portion fills it."""
LINE = "a line of progress, " * 40 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, IO[str]]]:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    stream = os.fdopen(write, "w", encoding="utf-8")
    yield read, stream
    with suppress(OSError):
        os.close(read)
    with suppress(OSError):
        stream.close()


def test_what_is_read_arrives_whole(pipe: tuple[int, IO[str]]) -> None:
    read, stream = pipe
    PatientStream(stream).write(f"Grüße {LINE}")
    assert os.read(read, PIPE_BYTES).decode() == f"Grüße {LINE}"


def test_what_nobody_reads_is_dropped_and_the_writer_goes_on(pipe: tuple[int, IO[str]]) -> None:
    read, stream = pipe
    patient = PatientStream(stream, patience_s=0.0)
    for _ in range(20):
        patient.write(LINE)
    assert os.read(read, PIPE_BYTES).decode() == LINE


def test_a_reader_who_comes_back_gets_the_next_lines(pipe: tuple[int, IO[str]]) -> None:
    read, stream = pipe
    patient = PatientStream(stream, patience_s=0.0)
    for _ in range(20):
        patient.write(LINE)
    os.read(read, PIPE_BYTES)
    patient.write("here again\n")
    assert os.read(read, PIPE_BYTES).decode() == "here again\n"


def test_an_end_that_hung_up_is_told(pipe: tuple[int, IO[str]]) -> None:
    read, stream = pipe
    os.close(read)
    with pytest.raises(BrokenPipeError):
        PatientStream(stream).write(LINE)


def test_a_stream_in_memory_takes_everything() -> None:
    stream = io.StringIO()
    PatientStream(stream, patience_s=0.0).write(LINE)
    assert stream.getvalue() == LINE
