"""CONTROL: what its commands answer, and what they do to the log."""

import pytest

from tests.xenstore_sim.conversations import NO_TX, Stage, says
from tests.xenstore_sim.store.kept_log import KeptLog
from xenstore_sim.store.daemon import Settings
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, RELEASES, Compat
from xenstore_sim.wire.messages import Control, Text, Write
from xenstore_sim.wire.ops import Errno


def lines(stage: Stage, *command: str) -> list[str]:
    return stage.ask(stage.dom0, NO_TX, Control(command)).decode().rstrip("\0").splitlines()


@pytest.mark.parametrize("compat", RELEASES.values())
def test_commands_that_answer_ok(compat: Compat) -> None:
    stage = Stage(Settings(compat), log=KeptLog())
    for command in (
        ("check",), ("log", "on"), ("log", "off"), ("logfile", "/x"), ("print", "text"),
        ("memreport",), ("memreport", "/y"), ("quota", "set", "nodes", "5"),
        ("quota", "set", "nodes", "5x"), ("quota-soft", "set", "memory", "5"),
    ):  # fmt: skip
        stage.converse(says(stage.dom0, NO_TX, Control(command), Text("OK")))


@pytest.mark.parametrize(
    "command",
    [
        ("nonsense",), ("",), ("help ",), ("help", "x"), ("check", "x"),
        ("log", "loud"), ("log", "on", "off"), ("log", "io"), ("log", "+cows"), ("log", ""),
        ("logfile",), ("logfile", "a", "b"), ("print",), ("print", "a", "b"),
        ("memreport", "a", "b"), ("memreport",), ("memreport", "/missing/x"),
        ("live-update",), ("live-update", "-z"), ("live-update", "-f"),
        ("quota", "set"), ("quota", "set", "nodes"), ("quota", "set", "nodes", "0"),
        ("quota", "set", "nodes", "x"), ("quota", "set", "cows", "1"),
        ("quota", "set", "nodes", "1", "2"), ("quota", "set", "soft-memory", "1"),
        ("quota", "1", "2"), ("quota", "max", "-x"), ("quota", "max", "-r", "-r"),
        ("quota-soft", "set", "nodes", "1"), ("quota-soft", "1"), ("quota-soft", "set", "memory"),
    ],
)  # fmt: skip
def test_commands_that_are_invalid(command: tuple[str, ...]) -> None:
    stage = Stage(log=KeptLog())
    stage.converse(says(stage.dom0, NO_TX, Control(command), Errno.EINVAL))


def test_4_17_has_no_log_switches() -> None:
    stage = Stage(Settings(COMPAT_4_17), log=KeptLog())
    for command in (("log",), ("log", "+io")):
        stage.converse(says(stage.dom0, NO_TX, Control(command), Errno.EINVAL))


def test_help_lists_the_commands_in_the_releases_form() -> None:
    newer, older = Stage(Settings(COMPAT_4_20)), Stage(Settings(COMPAT_4_17))
    assert lines(newer, "help")[:2] == [
        "check           ",
        "log             [on|off|+<switch>|-<switch>]",
    ]
    assert lines(older, "help")[:2] == ["check\t", "log\ton|off"]
    names = [line.split()[0] for line in lines(older, "help") if not line.startswith(" ")]
    assert names == [
        "check", "log", "live-update", "logfile", "memreport", "print", "quota", "quota-soft",
        "help",
    ]  # fmt: skip


def test_a_log_is_written_between_logfile_and_off() -> None:
    log = KeptLog()
    stage = Stage(log=log)
    for command in (("logfile", "/x"), ("log", "off"), ("log", "on")):
        stage.ask(stage.dom0, NO_TX, Control(command))
        stage.ask(stage.dom0, NO_TX, Write(f"/{command[-1].strip('/')}", b"v w"))
    assert [line for line in log.files["/x"] if " WRITE " in line] == [
        "dom0#1 > WRITE req=16909060 tx=0 /x 'v w'",
        "dom0#1 < WRITE req=16909060 tx=0 OK",
        "dom0#1 > WRITE req=16909060 tx=0 /on 'v w'",
        "dom0#1 < WRITE req=16909060 tx=0 OK",
    ]


def test_log_on_without_a_file_is_ok_and_writes_nothing() -> None:
    log = KeptLog()
    stage = Stage(log=log)
    stage.converse(says(stage.dom0, NO_TX, Control(("log", "on")), Text("OK")))
    assert not log.files
    assert stage.daemon.statistics().log_failures == 0


def test_a_logfile_that_cannot_be_opened_is_ok_and_counted() -> None:
    stage = Stage(log=KeptLog())
    stage.converse(says(stage.dom0, NO_TX, Control(("logfile", "/missing/x")), Text("OK")))
    assert stage.daemon.statistics().log_failures == 1


def test_switches_choose_what_is_written() -> None:
    log = KeptLog()
    stage = Stage(log=log)
    assert lines(stage, "log") == [
        "Log switch settings:",
        "obj     : on", "io      : on", "wrl     : off", "acc     : off", "tdb     : off",
    ]  # fmt: skip
    for command in (("log", "-io"), ("logfile", "/x")):
        stage.ask(stage.dom0, NO_TX, Control(command))
    stage.connect()
    stage.ask(stage.dom0, NO_TX, Control(("log", "-obj")))
    stage.connect()
    assert log.files["/x"] == ["dom0#2 connects"]


def test_print_speaks_to_the_operator_in_plain_characters() -> None:
    log = KeptLog()
    stage = Stage(log=log)
    stage.ask(stage.dom0, NO_TX, Control(("print", "one\ntwo\x1b[2J")))
    assert log.said == ["control: one\\ntwo\\x1b[2J"]


def test_memreport_tells_what_each_domain_takes() -> None:
    log = KeptLog()
    stage = Stage(log=log)
    stage.domain(3)
    stage.ask(stage.dom0, NO_TX, Control(("memreport", "/y")))
    (text,) = log.files["/y"]
    title, heads, *rows = text.splitlines()
    assert title == "xenstore memory"
    assert heads.split()[:3] == ["domain", "client", "node"]
    assert [row.split()[:2] for row in rows if row] == [
        ["0", "-"], ["3", "-"], ["0", "1"], ["3", "2"],
    ]  # fmt: skip
