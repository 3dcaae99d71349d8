"""The examples of docs/client.md run, and it tells of every call."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator

import pytest
import trio

from tests.docs.documents import ROOT, fenced
from xenstore_sim.client import Client, Transaction, Watch
from xenstore_sim.pytest_plugin.running import running_xenstored
from xenstore_sim.pytest_plugin.xenstored import Xenstored
from xenstore_sim.server import ServerHandle
from xenstore_sim.wire import errors

GUIDE = (ROOT / "docs" / "client.md").read_text()
PROGRAM, *FRAGMENTS = fenced(GUIDE, "python")
DEADLINE_S = 30


@pytest.fixture
async def daemon() -> AsyncIterator[ServerHandle]:
    with trio.fail_after(DEADLINE_S):
        async with running_xenstored() as handle:
            yield handle


def test_the_program_runs(xenstored: Xenstored) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **xenstored.environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    ).stdout
    assert printed == "b'guest'\n"


async def test_the_fragments_run_one_after_the_other(daemon: ServerHandle) -> None:
    async with Client.connect(daemon.socket_path) as store:
        await store.write("/demo/name", "guest")
        names = {"trio": trio, "Client": Client, "store": store, "path": str(daemon.socket_path)}
        for fragment in FRAGMENTS:
            code = compile(fragment, "docs/client.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await result


def test_every_fragment_says_something() -> None:
    assert len(FRAGMENTS) >= 6
    for fragment in FRAGMENTS:
        assert "await" in textwrap.dedent(fragment)


def test_every_call_is_told_of() -> None:
    calls = {
        name
        for each in (Client, Transaction, Watch)
        for name in vars(each) | {name: None for base in each.__mro__ for name in vars(base)}
        if not name.startswith("_") and name not in vars(object)
    }
    missing = {name for name in calls if f"`{name}" not in GUIDE and f".{name}(" not in GUIDE}
    assert not missing


def test_every_error_is_told_of() -> None:
    raised = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.XenstoreError)
    }
    # Inside a daemon, and of paths that are no texts of a request.
    assert {name for name in raised if f"`{name}`" not in GUIDE} == {"Refusal", "InvalidPath"}
