"""Xen's own command-line tools, unchanged, on the simulator. They are Debian's xenstore-utils;
without them these tests fail."""

import os
import subprocess
from pathlib import Path

import pytest
import trio

from xenstore_sim.client import Client
from xenstore_sim.server import ServerHandle
from xenstore_sim.wire.perms import NodePerms

DEADLINE_S = 30


class Tools:
    """Runs xenstore-* with the environment that leads it to our socket."""

    def __init__(self, variable: str, value: Path) -> None:
        self.environment = {**os.environ, variable: str(value)}

    async def __call__(self, tool: str, *args: str, status: int = 0) -> str:
        with trio.fail_after(DEADLINE_S):
            done = await trio.run_process(
                [f"xenstore-{tool}", *args],
                env=self.environment,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        assert done.returncode == status, done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture(params=["XENSTORED_PATH", "XENSTORED_RUNDIR"])
async def tools(server: ServerHandle, request: pytest.FixtureRequest) -> Tools:
    path = server.socket_path
    return Tools(request.param, path if request.param == "XENSTORED_PATH" else path.parent)


async def test_write_read_and_list(tools: Tools) -> None:
    await tools("write", "/a/b", "one", "/a/c", "two words")
    assert await tools("read", "/a/b") == "one\n"
    assert await tools("read", "-p", "/a/b", "/a/c") == "/a/b: one\n/a/c: two words\n"
    assert await tools("list", "/a") == "b\nc\n"
    assert await tools("list", "-p", "/a") == "/a/b\n/a/c\n"
    await tools("read", "/missing", status=1)
    await tools("list", "/missing", status=1)


async def test_ls_shows_the_tree_with_permissions(tools: Tools, dom0: Client) -> None:
    await tools("write", "/a/b", "one")
    await dom0.set_perms("/a/b", NodePerms.of("n0", "r5"))
    assert await tools("ls", "-fp") == (
        '/tool = ""   (n0)\n/tool/xenstored = ""   (n0)\n/a = ""   (n0)\n/a/b = "one"   (n0,r5)\n'
    )
    assert await tools("ls", "/a") == 'b = "one"\n'


async def test_ls_shows_a_directory_longer_than_a_message(tools: Tools, dom0: Client) -> None:
    async with dom0.begin() as tx:
        for number in range(700):
            await tx.write(f"/d/child-{number:04}", str(number))
    lines = (await tools("ls", "-f", "/d")).splitlines()
    assert lines == [f'/d/child-{number:04} = "{number}"' for number in range(700)]


async def test_chmod_sets_permissions_and_those_below(tools: Tools, dom0: Client) -> None:
    await tools("write", "/a/b", "")
    await tools("chmod", "/a", "n0", "r5")
    assert str(await dom0.get_perms("/a")) == "n0,r5"
    assert str(await dom0.get_perms("/a/b")) == "n0"
    await tools("chmod", "-r", "/a", "b7")
    assert str(await dom0.get_perms("/a/b")) == "b7"


async def test_exists_and_rm(tools: Tools, dom0: Client) -> None:
    await tools("write", "/a/b/c", "", "/a/d", "")
    await tools("exists", "/a/b/c", "/a/d")
    await tools("exists", "/a/x", status=1)
    await tools("rm", "/a/d")
    assert await dom0.directory("/a") == ("b",)
    await tools("rm", "-t", "/a/b/c")
    assert await dom0.directory("/") == ("tool",)


async def test_relative_paths_are_below_dom0s_home(tools: Tools, dom0: Client) -> None:
    await tools("write", "mine", "v")
    assert await dom0.read("/local/domain/0/mine") == b"v"


async def test_watch_prints_what_changes(tools: Tools, dom0: Client) -> None:
    # -n counts the first event too, so the tool ends by itself after the second.
    process = await trio.lowlevel.open_process(
        ["xenstore-watch", "-n", "3", "/a"], env=tools.environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    output = b""
    with trio.fail_after(DEADLINE_S):
        async with process.stdout as stdout:
            output += await stdout.receive_some()
            await dom0.write("/a/b", "1")
            await dom0.write("/elsewhere", "1")
            await dom0.rm("/a")
            async for more in stdout:
                output += more
        assert await process.wait() == 0
    assert output == b"/a\n/a/b\n/a\n"
