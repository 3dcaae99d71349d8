"""Upstream's own test program of a xenstore daemon, tools/tests/xenstore."""

import re

import pytest

from tests.real_clients.daemons import RunningDaemon, environment
from tests.real_clients.libxenstore import Handle
from tests.real_clients.tools import private_program, run

ITERATIONS = 20
TESTS = (
    "read 1",
    "read 2000",
    "write 1",
    "write 2000",
    "dir",
    "rm node",
    "rm dir",
    "ta empty",
    "ta empty x",
    "ta rmw",
    "ta rmw x",
    "ta err",
)


def test_these_are_all_of_its_tests(daemon: RunningDaemon) -> None:
    listed = run(environment(daemon), private_program("test-xenstore"), "--list-tests").stdout
    assert tuple(line.partition(":")[0].rstrip() for line in listed.splitlines()) == TESTS


@pytest.mark.parametrize("test", TESTS)
def test_each_passes(daemon: RunningDaemon, dom0: Handle, test: str) -> None:
    program = private_program("test-xenstore")
    done = run(environment(daemon), program, "-i", str(ITERATIONS), "-t", test)
    assert re.fullmatch(rf"{test} *: avg: [0-9]+ ns \([0-9]+ ns \.\. [0-9]+ ns\)\n", done.stdout)
    assert dom0.directory("/local/domain/0") == []


def test_random_operations_pass_for_a_second(daemon: RunningDaemon, dom0: Handle) -> None:
    run(environment(daemon), private_program("test-xenstore"), "--random", "1")
    assert dom0.directory("/local/domain/0") == []
