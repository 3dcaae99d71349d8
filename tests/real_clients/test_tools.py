"""The xenstore-* tools on each daemon: what a shell script sees."""

import subprocess

import pytest

from tests.real_clients.daemons import RunningDaemon, environment
from tests.real_clients.libxenstore import PERM_NONE, PERM_READ, PERM_WRITE, Handle
from tests.real_clients.tools import TOOL_DEADLINE_S, Tools, run, tools_on

BOTH = PERM_READ | PERM_WRITE


@pytest.fixture
def tools(daemon: RunningDaemon) -> Tools:
    return tools_on(daemon)


@pytest.mark.parametrize("variable", ["XENSTORED_PATH", "XENSTORED_RUNDIR"])
def test_each_variable_leads_to_the_daemon(daemon: RunningDaemon, variable: str) -> None:
    value = daemon.rundir / "socket" if variable == "XENSTORED_PATH" else daemon.rundir
    variables = {variable: str(value), "PATH": environment(daemon)["PATH"]}
    assert run(variables, "xenstore-list", "/").stdout == "tool\n"


def test_read_and_write_take_several_keys(tools: Tools) -> None:
    assert tools("write", "/a/b", "one", "/a/c", "two words") == ""
    assert tools("read", "/a/b") == "one\n"
    assert tools("read", "/a/b", "/a/c") == "one\ntwo words\n"
    assert tools("read", "-p", "/a/b", "/a/c") == "/a/b: one\n/a/c: two words\n"
    assert tools("read", "-s", "/a/b") == "one\n"


def test_of_several_writes_all_or_none_happen(tools: Tools, dom0: Handle) -> None:
    tools("write", "/a", "1", "/b.c", "2", status=1)
    assert dom0.directory("/") == ["tool"]


def test_values_are_escaped_unless_raw(tools: Tools, dom0: Handle) -> None:
    tools("write", "/a", r"\x01\n")
    assert dom0.read("/a") == b"\x01\n"
    assert tools("read", "/a") == "\\001\\n\n"
    assert tools("read", "-R", "/a") == "\x01\n"
    tools("write", "-R", "/a", r"\x01")
    assert dom0.read("/a") == rb"\x01"


def test_the_longest_value_of_a_message_passes(tools: Tools) -> None:
    longest = "x" * (4096 - len("/a\0"))
    tools("write", "/a", longest)
    assert tools("read", "/a") == f"{longest}\n"
    tools("write", "/a", longest + "x", status=1)


def test_what_is_missing_or_malformed_fails(tools: Tools) -> None:
    for tool in ("read", "list", "ls", "exists"):
        tools(tool, "/missing", status=1)
        tools(tool, "/a.b", status=1)
    tools("chmod", "/missing", "n0", status=1)
    tools("rm", "/missing/below", status=1)
    tools("rm", "/missing")
    tools("write", "/a b", "", status=1)


def test_list_shows_names_or_paths(tools: Tools) -> None:
    tools("write", "/a/b", "", "/a/c", "", "/d/e", "")
    assert tools("list", "/a") == "b\nc\n"
    assert tools("list", "/a", "/d") == "b\nc\ne\n"
    assert tools("list", "-p", "/a") == "/a/b\n/a/c\n"
    assert tools("list", "/a/b") == ""


def test_ls_shows_the_tree(tools: Tools, dom0: Handle) -> None:
    tools("write", "/a/b", "one")
    dom0.set_permissions("/a/b", (0, PERM_NONE), (0, PERM_READ))
    assert tools("ls", "-fp") == (
        '/tool = ""   (n0)\n/tool/xenstored = ""   (n0)\n/a = ""   (n0)\n/a/b = "one"   (n0,r0)\n'
    )
    assert tools("ls") == 'tool = ""\n xenstored = ""\na = ""\n b = "one"\n'
    assert tools("ls", "-s", "/a") == 'b = "one"\n'
    lines = tools("ls", "-p", "/a").splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('b = "one"  . . ')
    assert lines[0].endswith(" .  (n0,r0)")


def test_ls_shows_a_directory_longer_than_a_message(tools: Tools, dom0: Handle) -> None:
    tx = dom0.start()
    for number in range(700):
        dom0.write(f"/d/child-{number:04}", str(number).encode(), tx)
    dom0.end(tx)
    lines = tools("ls", "-f", "/d").splitlines()
    assert lines == [f'/d/child-{number:04} = "{number}"' for number in range(700)]


def test_ls_shows_a_deep_tree(tools: Tools) -> None:
    deepest = "/d" * 200
    tools("write", deepest, "v")
    assert tools("ls", "-f", "/d").splitlines()[-1] == f'{deepest} = "v"'


def test_chmod_sets_one_node_or_those_below_or_above(tools: Tools, dom0: Handle) -> None:
    tools("write", "/a/b/c", "", "/a/d", "")
    tools("chmod", "/a", "n0", "r0")
    assert dom0.get_permissions("/a") == [(0, PERM_NONE), (0, PERM_READ)]
    assert dom0.get_permissions("/a/d") == [(0, PERM_NONE)]
    tools("chmod", "-r", "/a/b", "b0")
    assert dom0.get_permissions("/a/b/c") == [(0, BOTH)]
    assert dom0.get_permissions("/a/d") == [(0, PERM_NONE)]
    tools("chmod", "-u", "/a/b/c", "w0")
    assert dom0.get_permissions("/a/b") == [(0, PERM_WRITE)]
    assert dom0.get_permissions("/a/d") == [(0, PERM_NONE)]


def test_exists_is_true_of_all_or_fails(tools: Tools) -> None:
    tools("write", "/a/b", "", "/a/c", "")
    tools("exists", "/a/b", "/a/c")
    tools("exists", "/a/b", "/a/x", status=1)


def test_rm_takes_all_below_and_on_demand_empty_parents(tools: Tools, dom0: Handle) -> None:
    tools("write", "/a/b/c", "", "/a/b/d", "", "/a/e/f", "")
    tools("rm", "/a/b/c", "/a/e")
    assert dom0.directory("/a") == ["b"]
    tools("rm", "-t", "/a/b/d")
    assert dom0.directory("/") == ["tool"]


def test_relative_paths_are_below_dom0s_home(tools: Tools, dom0: Handle) -> None:
    tools("write", "mine", "v")
    assert dom0.read("/local/domain/0/mine") == b"v"


@pytest.mark.parametrize("program", [["xenstore-watch"], ["xenstore", "watch"]])
def test_watch_prints_what_changes(daemon: RunningDaemon, dom0: Handle, program: list[str]) -> None:
    # -n counts first events too, so the tool ends by itself.
    process = subprocess.Popen(
        [*program, "-n", "5", "/a", "/b"],
        env=environment(daemon),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert {process.stdout.readline(), process.stdout.readline()} == {"/a\n", "/b\n"}
        dom0.write("/a/b", b"1")
        dom0.write("/elsewhere", b"1")
        dom0.rm("/a")
        dom0.write("/b", b"1")
        output, _ = process.communicate(timeout=TOOL_DEADLINE_S)
    assert output == "/a/b\n/a\n/b\n"
    assert process.returncode == 0


def test_one_program_is_all_tools(daemon: RunningDaemon) -> None:
    variables = environment(daemon)
    run(variables, "xenstore", "write", "/a/b", "v")
    assert run(variables, "xenstore", "read", "/a/b").stdout == "v\n"
    assert run(variables, "xenstore", "ls", "-f", "/a").stdout == '/a/b = "v"\n'
    run(variables, "xenstore", "chmod", "/a", "n0")
    run(variables, "xenstore", "exists", "/a")
    run(variables, "xenstore", "rm", "/a")
    assert run(variables, "xenstore", "list", "/").stdout == "tool\n"


def test_tools_that_meet_conflicts_try_again(daemon: RunningDaemon, dom0: Handle) -> None:
    """Writes of two keys run in a transaction; all of them come to pass."""
    processes = [
        subprocess.Popen(
            ["xenstore-write", f"/a/{number}", "1", f"/b/{number}", "2"], env=environment(daemon)
        )
        for number in range(16)
    ]
    for process in processes:
        assert process.wait(TOOL_DEADLINE_S) == 0
    assert len(dom0.directory("/a")) == len(dom0.directory("/b")) == 16


def test_without_a_daemon_they_say_so(daemon: RunningDaemon) -> None:
    variables = {**environment(daemon), "XENSTORED_RUNDIR": str(daemon.rundir / "nobody")}
    assert "xs_open" in run(variables, "xenstore-read", "/", status=1).stderr
