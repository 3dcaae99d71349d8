"""The log on disk: lines with their time, and failures that stop nobody."""

import os
import re
import stat
from pathlib import Path

import pytest

from xenstore_sim.log_file import LogFile


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def log(tmp_path: Path, said: list[str]) -> LogFile:
    return LogFile(tmp_path, said.append)


def test_lines_have_their_time_and_are_appended(log: LogFile, tmp_path: Path) -> None:
    for line in ("one", "two"):
        assert log.open("x.log")
        assert log.write(line)
        log.close()
    first, second = (tmp_path / "x.log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} one", first)
    assert second.endswith(" two")
    assert stat.S_IMODE((tmp_path / "x.log").stat().st_mode) == 0o600


def test_open_without_a_name_means_the_one_before(log: LogFile, tmp_path: Path) -> None:
    assert not log.open(None)
    log.open("x.log")
    log.close()
    assert not log.write("lost")
    assert log.open(None)
    log.write("kept")
    log.close()
    assert "lost" not in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize("name", ["missing/x.log", "", "a\0b", "x" * 300])
def test_a_file_that_cannot_be_opened_is_told(log: LogFile, said: list[str], name: str) -> None:
    assert not log.open(name)
    assert not log.write("line")
    assert not log.append(name, "text")
    assert said
    assert all(re.fullmatch(r"cannot write '[^']*': [^'\[]+", each) for each in said)


def test_a_full_disk_is_told_once_and_tried_again(log: LogFile, said: list[str]) -> None:
    assert log.open("/dev/full")
    assert not log.write("one")
    assert not log.write("two")
    assert said == ["the log /dev/full takes no more lines: free space on its disk"]
    log.close()


def test_a_pipe_nobody_reads_stops_nobody(log: LogFile, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not log.open("pipe")


def test_a_text_goes_into_the_log_or_a_file_of_its_own(log: LogFile, tmp_path: Path) -> None:
    assert not log.append(None, "nowhere")
    log.open("x.log")
    log.close()
    assert log.append(None, "in the log\n")
    assert log.append("other", "elsewhere\n")
    assert (tmp_path / "x.log").read_text() == "in the log\n"
    assert (tmp_path / "other").read_text() == "elsewhere\n"
