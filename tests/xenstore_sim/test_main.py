"""The command `xenstore-sim` as its users run it."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree

import pytest
import trio

from xenstore_sim.client import Client
from xenstore_sim.wire.errors import RequestRefused
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op

COMMAND = (sys.executable, "-m", "xenstore_sim")
DEADLINE_S = 30
DOM3, DOM4 = DomId(3), DomId(4)


@contextmanager
def daemon(
    rundir: Path, *options: str, command: Sequence[str] = COMMAND
) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is ready; ended with the block if it still runs."""
    readable, writable = os.pipe()
    process = subprocess.Popen(
        [*command, "--rundir", str(rundir), "--ready-fd", str(writable), *options],
        pass_fds=[writable],
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writable)
    with process:
        try:
            assert os.read(readable, 100) == b"ready\n"
            yield process
        finally:
            os.close(readable)
            process.kill()


def run(
    *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_clean(tmp_path: Path, end: signal.Signals) -> None:
    with daemon(tmp_path) as process:
        assert (tmp_path / "socket").is_socket()
        process.send_signal(end)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert errors == f"xenstore-sim: listening on {tmp_path}/socket\n"
    assert not (tmp_path / "socket").exists()


def test_a_second_one_is_refused_with_its_own_status(tmp_path: Path) -> None:
    with daemon(tmp_path) as process:
        second = run("--rundir", str(tmp_path))
        assert second.returncode == 3
        assert second.stderr == (
            f"xenstore-sim: {tmp_path}: xenstore-sim runs there, process {process.pid}:"
            " stop it or choose another directory\n"
        )


def test_after_a_kill_the_next_one_starts(tmp_path: Path) -> None:
    with daemon(tmp_path) as process:
        process.kill()
        process.wait(DEADLINE_S)
        assert (tmp_path / "socket").is_socket()
        with daemon(tmp_path):
            pass


def test_an_unusable_directory_has_its_own_status(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("--rundir", str(tmp_path / "file" / "run"))
    assert refused.returncode == 4
    assert refused.stderr.startswith(f"xenstore-sim: {tmp_path}/file/run: Not a directory")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "Where are clients to find it? Give --rundir or --socket"),
        (("--rundir", ""), "the name is empty; write . for the current directory"),
        (("--rundir", "x", "--state", ""), "the name is empty; write . for the current"),
        (("--rundir", "x", "-q", "nodes=1"), "'nodes' is no quota; there are memory"),
        (("--rundir", "x", "-E", "-1"), "-1 is not in the range 0<=x<=4294967295"),
        (("--rundir", "x", "-M", "4294967296"), "is not in the range 0<=x<=4294967295"),
        (("--rundir", "x", "-w", "cows=1"), "'cows=1' is no timeout; there is watch-event"),
        (("--rundir", "x", "--compat", "4.1"), "'4.1' is not one of '4.17', '4.20', '4.22'"),
        (("--rundir", "x", "--quota", "cows=1"), "'cows' is no quota; there are nodes, watches"),
        (("--rundir", "x", "--quota", "nodes=many"), "'many' is no bound for nodes"),
        (("--rundir", "x", "--quota", "nodes=4294967296"), "a number up to 4294967295, 0 for none"),
        (("--rundir", "x", "--faults", "late=2"), "late=2.0: a rate is a number from 0 to 1"),
        (("--rundir", "x", "--quota", f"nodes={'1' * 5000}"), "is no bound for nodes"),
        (("--rundir", "x", "--faults", f"late=1,seed={'1' * 5000}"), "up to 20 digits"),
        (("--rundir", "x", "--watch-timeout", "-1"), "-1.0 is not in the range x>=0"),
        (("--rundir", "x", "--watch-timeout", "nan"), "nan is no number of seconds"),
        (("--rundir", "x", "--ready-fd", "2147483648"), "2147483648 is not in the range"),
    ],
)
def test_a_wrong_command_line_has_its_own_status(options: tuple[str, ...], text: str) -> None:
    refused = run(*options)
    assert refused.returncode == 2
    assert text in refused.stderr


async def test_options_reach_the_daemon(tmp_path: Path) -> None:
    with daemon(tmp_path, "--compat", "4.22", "--quota", "nodes=7", "--quota", "watches=0"):
        async with Client.connect(tmp_path / "socket") as client:
            shown = (await client.control("quota")).splitlines()
            features = await client.control("help")
    assert "nodes            :        7 nodes a domain may own" in shown
    assert "watches          :        0 watches a domain may have" in shown
    assert features.startswith("check ")


async def test_xenstoreds_spelling_of_its_options_is_taken(tmp_path: Path) -> None:
    options = (
        "-N", "-D", "-V", "-R", "-I", "off", "-w", "watch-event=0", "-q", "memory=8",
        "-E", "1", "-S", "2", "-W", "3", "-t", "4", "-A", "5", "-M", "6",
        "-Q", "outstanding=7", "-Q", "transaction-nodes=9", "-Q", "memory=0",
    )  # fmt: skip
    with daemon(tmp_path, *options):
        async with Client.connect(tmp_path / "socket") as client:
            hard = (await client.control("quota")).splitlines()[1:]
            soft = (await client.control("quota-soft")).splitlines()[1:]
    shown = (line.split(":") for line in hard)
    assert {name.strip(): rest.split()[0] for name, rest in shown} == {
        "nodes": "1", "node-size": "2", "watches": "3", "transactions": "4",
        "node-permissions": "5", "path-max": "6", "outstanding": "7", "transaction-nodes": "9",
        "memory": "0",
    }  # fmt: skip
    assert soft[0].split()[:3] == ["memory", ":", "8"]


def test_a_pid_file_is_there_while_it_serves(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with daemon(tmp_path / "run", "-F", str(pid_file)) as process:
        assert pid_file.read_text() == f"{process.pid}\n"
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    assert not pid_file.exists()


def test_a_pid_file_that_cannot_be_written_ends_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "missing" / "pid"
    refused = run("--rundir", str(tmp_path), "--pid-file", str(pid_file))
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        f"xenstore-sim: the pid file {pid_file}: No such file or directory:"
        " name one in a writable directory"
    )
    assert not (tmp_path / "socket").exists()


def test_whom_it_cannot_tell_that_it_serves_is_named(tmp_path: Path) -> None:
    refused = run("--rundir", str(tmp_path), "--ready-fd", "99")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        "xenstore-sim: --ready-fd 99: Bad file descriptor: give it an open one with a reader"
    )
    gone = tmp_path / "nobody"
    with_manager = {**os.environ, "NOTIFY_SOCKET": str(gone)}
    refused = run("--rundir", str(tmp_path), environment=with_manager)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        f"xenstore-sim: NOTIFY_SOCKET={gone}: No such file or directory:"
        " unset it where no service manager waits"
    )


def test_a_standard_error_that_nobody_reads_neither_stops_nor_ends_it(tmp_path: Path) -> None:
    with daemon(tmp_path) as process, socket.socket(socket.AF_UNIX) as dom0:
        assert process.stderr is not None
        dom0.settimeout(DEADLINE_S)
        dom0.connect(str(tmp_path / "socket"))
        print_ = encode_packet(Op.CONTROL, 1, 0, b"print\0" + b"x" * 4000 + b"\0")
        done = encode_packet(Op.CONTROL, 1, 0, b"OK\0")
        # More than a pipe takes.
        for _ in range(100):
            dom0.sendall(print_)
            assert dom0.recv(100) == done
        process.stderr.close()
        dom0.sendall(print_)
        assert dom0.recv(100) == done
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


def test_a_run_directory_that_went_away_does_not_keep_it_from_a_clean_end(tmp_path: Path) -> None:
    rundir = tmp_path / "run"
    with daemon(rundir) as process:
        rmtree(rundir)
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


def test_its_socket_may_lie_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a" / "xs.sock"
    readable, writable = os.pipe()
    with subprocess.Popen(
        [*COMMAND, "--socket", str(path), "--ready-fd", str(writable)],
        pass_fds=[writable],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writable)
        try:
            assert os.read(readable, 100) == b"ready\n"
            assert path.is_socket()
            assert (tmp_path / "a" / "xs.sock.d" / "domain").is_dir()
            second = run("--socket", str(path), "--rundir", str(tmp_path / "other"))
            assert second.returncode == 3
        finally:
            os.close(readable)
            process.terminate()
        assert process.wait(DEADLINE_S) == 0
    assert not path.exists()


@pytest.mark.parametrize("variable", ["XENSTORED_PATH", "XENSTORED_RUNDIR"])
def test_without_options_it_serves_where_clients_look(tmp_path: Path, variable: str) -> None:
    path = tmp_path / "socket" if variable == "XENSTORED_PATH" else tmp_path
    environment = {**os.environ, variable: str(path)}
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"xenstore-sim: listening on {tmp_path}/socket\n"
        finally:
            process.terminate()


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@xenstore-sim-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(DEADLINE_S)
        manager.bind(f"\0{name[1:]}" if abstract else name)
        environment = {**os.environ, "NOTIFY_SOCKET": name}
        with subprocess.Popen(
            [*COMMAND, "--rundir", str(tmp_path)], env=environment, stderr=subprocess.PIPE
        ) as process:
            try:
                assert manager.recv(100) == b"READY=1"
            finally:
                process.terminate()


async def test_a_trace_file_gets_what_is_said(tmp_path: Path) -> None:
    with daemon(tmp_path, "-T", "trace.log"):
        async with Client.connect(tmp_path / "socket") as client:
            await client.write("/a", "v")
            await client.control("print", "hello")
    lines = [line.split(" ", 1)[1] for line in (tmp_path / "trace.log").read_text().splitlines()]
    assert lines[0] == "dom0#1 connects"
    assert any(line.startswith("dom0#1 > WRITE ") and line.endswith(" /a v") for line in lines)
    assert "* control: hello" in lines


def test_print_reaches_standard_error(tmp_path: Path) -> None:
    environment = {**os.environ, "XENSTORED_RUNDIR": str(tmp_path)}
    with daemon(tmp_path) as process:
        done = subprocess.run(
            ["/usr/lib/xen-4.17/bin/xenstore-control", "print", "hello"],
            env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert errors.splitlines()[1] == "xenstore-sim: control: hello"


async def test_a_signal_has_it_say_what_it_did(tmp_path: Path) -> None:
    with daemon(tmp_path) as process:
        async with Client.connect(tmp_path / "socket") as client:
            await client.exists("/none")
            process.send_signal(signal.SIGUSR1)
            assert process.stderr is not None
            said = [process.stderr.readline() for _ in range(9)]
    assert said[1].startswith("xenstore-sim: now: 1 connections, 0 of them rings;")
    assert said[3] == "xenstore-sim: refused: 1: ENOENT 1\n"


def test_help_fits_a_terminal_of_80_columns() -> None:
    shown = run("--help").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "Exit status:\n    0  stopped by a signal\n" in shown


async def test_faults_are_injected_into_clients_of_the_command(tmp_path: Path) -> None:
    with daemon(tmp_path, "--faults", "seed=7,eacces=1,path=/a", "--watch-timeout", "0"):
        async with Client.connect(tmp_path / "socket") as client:
            await client.write("/b", "v")
            with pytest.raises(RequestRefused, match="xenstore refused WRITE /a/x: EACCES"):
                await client.write("/a/x", "v")


async def test_a_daemon_that_is_full_of_dom0s_clients_still_takes_domains(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=128", *COMMAND)
    with trio.fail_after(DEADLINE_S), daemon(tmp_path, command=few), ExitStack() as opened:
        async with Client.connect(tmp_path / "socket") as dom0:
            for domid in (DOM3, DOM4):
                await dom0.introduce(domid, 1, 1)
            clients = [opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(200)]
            for client in clients:
                client.connect(str(tmp_path / "socket"))
            for _ in clients:
                # In each round in which it answers, it accepts some.
                await dom0.read("/")
            async with (
                Client.connect(tmp_path / "domain" / "3") as dom3,
                Client.connect_ring(tmp_path / "ring" / "4") as dom4,
            ):
                assert await dom3.get_domain_path(DOM3) == await dom4.get_domain_path(DOM3)
            # Who waits is served when others end.
            last = clients.pop()
            last.settimeout(DEADLINE_S)
            last.sendall(encode_packet(Op.GET_DOMAIN_PATH, 1, 0, b"3\0"))
            for client in clients:
                client.close()
            assert last.recv(100).endswith(b"/local/domain/3\0")


def test_it_takes_as_many_clients_as_its_user_may_have_descriptors(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1, 512), hard))
    try:
        with daemon(tmp_path) as process:
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
