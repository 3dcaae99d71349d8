"""xenstore-control on each daemon, as far as all releases answer alike or the release is known."""

import re

import pytest

from tests.real_clients.conftest import Introduce
from tests.real_clients.daemons import RunningDaemon, environment
from tests.real_clients.libxenstore import Handle
from tests.real_clients.tools import Tools, private_program, run

FAILED = 3
"""The tool's status after any refusal; after EINVAL it shows the commands that there are, too."""


@pytest.fixture
def control(daemon: RunningDaemon) -> Tools:
    def control(*args: str, status: int = 0) -> str:
        program = private_program("xenstore-control")
        return run(environment(daemon), program, *args, status=status).stdout

    return control


def test_check_finds_a_sound_store(control: Tools) -> None:
    assert control("check").rstrip("\n") == "OK"


def test_help_names_every_command(daemon: RunningDaemon, control: Tools) -> None:
    separator = "\t" if daemon.release == "4.17" else " "
    names = [line.partition(separator)[0] for line in control("help").splitlines()]
    assert {"check", "help", "log", "logfile", "memreport", "print", "quota"} <= set(names)


def test_unknown_commands_fail(control: Tools) -> None:
    control("no-such-command", status=FAILED)
    control("quota", "no", "such", "form", status=FAILED)


def test_print_and_log_are_taken(control: Tools) -> None:
    assert control("print", "text") == "OK\n"
    assert control("log", "on") == "OK\n"
    assert control("log", "off") == "OK\n"
    control("log", "perhaps", status=FAILED)


def test_logfile_and_memreport_take_a_file(daemon: RunningDaemon, control: Tools) -> None:
    assert control("logfile", str(daemon.rundir / "log")) == "OK\n"
    assert control("memreport", str(daemon.rundir / "memory")) == "OK\n"


def quotas(text: str) -> dict[str, int]:
    """Numbers by name."""
    found = re.findall(r"^([a-z-]+) *: +([0-9]+)", text, re.MULTILINE)
    return {name: int(number) for name, number in found}


def test_quota_shows_the_bounds(daemon: RunningDaemon, control: Tools) -> None:
    text = control("quota")
    assert text.startswith("Quota settings:\n")
    perms = "permissions" if daemon.release == "4.17" else "node-permissions"
    expected = {
        "nodes": 1000,
        "watches": 128,
        "transactions": 10,
        "outstanding": 20,
        "transaction-nodes": 1024,
        "memory": 2621440,
        perms: 5,
    }
    assert quotas(text).items() >= expected.items()


def test_quota_set_changes_a_bound(control: Tools) -> None:
    assert control("quota", "set", "nodes", "900") == "OK\n"
    assert quotas(control("quota"))["nodes"] == 900
    assert control("quota", "set", "nodes", "1000") == "OK\n"
    for wrong in (("nodes", "0"), ("no-such-quota", "5"), ("nodes",)):
        control("quota", "set", *wrong, status=FAILED)
    assert quotas(control("quota"))["nodes"] == 1000


def test_quota_of_a_domain_shows_its_use(
    control: Tools, dom0: Handle, introduce: Introduce
) -> None:
    control("quota", "3", status=FAILED)
    introduce(3)
    dom0.mkdir("/a/b")
    dom0.set_permissions("/a/b", (3, 0))
    text = control("quota", "3")
    assert text.startswith("Domain 3:\n")
    shown = quotas(text)
    assert (shown["nodes"], shown["watches"], shown["transactions"]) == (2, 0, 0)
    assert {"outstanding", "memory"} <= shown.keys()
