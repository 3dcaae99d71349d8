"""The program as its user meets it: options, exit statuses, one line for every failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.toolstack_runs import left_behind, start, text, toolstack, write_config
from toolstack.builtin_guest import kernel_path
from toolstack.machine.choose import MachineChoice

OPTIONS = (
    "--machine",
    "--carrier",
    "--native",
    "--platform",
    "--load",
    "--sandbox",
    "--timeout",
    "--silence",
    "--stage-timeout",
    "--tries",
    "--xenstore",
    "--device-model",
    "--json",
    "--json-file",
    "--verbose",
    "--quiet",
    "--map",
)


@pytest.fixture
def runtime(short_directory: Path) -> Path:
    return short_directory


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A guest that is ready in a moment."""
    return str(write_config(tmp_path / "guest.cfg", memory=64, kernel=kernel_path()))


PREPARED = ("--machine", "none", "--timeout", "0.01")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ("create", "demo", "cleanup")),
        (("create",), (*OPTIONS, "KEY=VALUE", "xl.cfg(5)")),
        (("demo",), (*OPTIONS, "--linux")),
        (("cleanup",), ("--xenstore", "--machine")),
    ],
    ids=["toolstack", "create", "demo", "cleanup"],
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command_and_option(
    flag: str, command: Sequence[str], words: Sequence[str], runtime: Path
) -> None:
    run = toolstack(runtime, *command, flag)
    assert (run.status, run.errors) == (0, "")
    assert [word for word in words if word not in run.console] == []
    assert max(map(len, run.console.splitlines())) <= 80


def test_version_is_the_packages(runtime: Path) -> None:
    run = toolstack(runtime, "--version")
    assert (run.status, run.console.split()[0]) == (0, "toolstack,")


@pytest.mark.parametrize(
    "options",
    [
        ("--timeout", "nan"),
        ("--timeout", "0"),
        ("--stage-timeout", "-1"),
        ("--silence", "nan"),
        ("--tries", "0"),
        ("--json-file", "/nonexistent/file"),
        ("--machine", "pigeon"),
        ("--unknown",),
    ],
    ids=" ".join,
)
def test_a_bad_option_is_a_usage_error_before_anything_happens(
    options: Sequence[str], config: str, runtime: Path
) -> None:
    run = toolstack(runtime, "create", config, *options)
    assert run.status == 2, run.errors
    assert options[0] in run.errors
    assert "created" not in run.errors
    assert "Traceback" not in run.errors


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no-such-program-anywhere", "no such program: name one in PATH"),
        ("", "no such program"),
        ("'unfinished", "No closing quotation"),
        ("{dir}", "no such program"),
    ],
)
def test_a_device_model_that_is_no_program_is_refused(
    program: str, words: str, config: str, runtime: Path, tmp_path: Path
) -> None:
    run = toolstack(
        runtime, "create", config, "--device-model", program.format(dir=tmp_path), *PREPARED
    )
    assert run.status == 10, run.errors
    assert words in run.errors
    assert "created" not in run.errors


@pytest.mark.parametrize("how", ["relative", "in PATH"])
def test_a_device_model_is_found_as_a_shell_finds_it(
    how: str, config: str, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my-device-model"
    program.write_text("#!/bin/sh\necho it was started: $1 >&2\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    name = {"relative": "./my-device-model", "in PATH": "my-device-model"}[how]
    run = toolstack(
        runtime, "create", config, "--device-model", f"{name} 'a b'", "--tries", "1", *PREPARED
    )
    assert run.status == 17, run.errors
    assert "exit status 7, its last words: it was started: a b" in run.errors


def test_a_program_of_no_known_format_is_named(config: str, runtime: Path, tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_bytes(b"\x7fELF not really")
    program.chmod(0o755)
    run = toolstack(runtime, "create", config, "--device-model", str(program), *PREPARED)
    assert run.status == 10, run.errors
    assert "broken' cannot be started (Exec format error)" in run.errors
    assert left_behind(runtime, run.pid) == []


@pytest.mark.parametrize("json_too", [False, True])
def test_the_json_file_has_the_objects_and_standard_error_what_was_asked_for(
    json_too: bool, config: str, runtime: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    flags = ("--json",) if json_too else ()
    run = toolstack(runtime, "create", config, *PREPARED, "--json-file", str(path), *flags)
    assert run.status == 0, run.errors
    stages = [
        entry["stage"]
        for entry in map(json.loads, path.read_text().splitlines())
        if entry["event"] == "stage"
    ]
    assert (stages[0], stages[-1]) == ("created", "left")
    assert run.errors.startswith("{") == json_too
    if json_too:
        assert [entry["stage"] for entry in run.events("stage")] == stages


def test_a_failure_is_one_object_in_json(runtime: Path, tmp_path: Path) -> None:
    run = toolstack(runtime, "create", str(tmp_path / "missing.cfg"), "--json")
    assert run.status == 11
    (failed,) = run.events("failed")
    assert (failed["kind"], failed["exit_code"]) == ("image", 11)
    assert "missing.cfg: No such file" in failed["text"]


def test_a_configuration_of_any_length_is_not_read(runtime: Path) -> None:
    run = toolstack(runtime, "create", "/dev/zero")
    assert run.status == 11
    assert "longer than 1048576 bytes" in run.errors


def test_settings_after_the_file_override_it(config: str, runtime: Path) -> None:
    run = toolstack(runtime, "create", config, "name='other'", "memory=65", *PREPARED)
    assert run.status == 0, run.errors
    assert 'guest "other" is domain 1, 65 MiB' in run.errors


def test_quiet_prints_nothing_when_all_is_well(config: str, runtime: Path) -> None:
    run = toolstack(runtime, "create", config, "-q", *PREPARED)
    assert (run.status, run.errors, run.console) == (0, "", "")


ON_XEN = "create", "--machine", MachineChoice.XEN.value


@pytest.mark.skipif(Path("/sys/hypervisor/type").exists(), reason="this host has a hypervisor")
@pytest.mark.parametrize("command", ["create", "cleanup"])
def test_a_host_without_xen_is_told_so_in_one_line(
    command: str, config: str, runtime: Path
) -> None:
    words = (*ON_XEN, config) if command == "create" else ("cleanup", *ON_XEN[1:])
    run = toolstack(runtime, *words)
    assert run.status == 28
    assert "/sys/hypervisor/type: No such file or directory: this is no Xen host" in run.errors
    assert run.errors.count("\n") == 1


@pytest.mark.skipif(Path("/sys/hypervisor/type").exists(), reason="this host has a hypervisor")
def test_what_libxl_acts_on_is_no_warning_on_xen(config: str, runtime: Path) -> None:
    words = (config, "vcpus=2", "maxmem=1024", 'disk=["/d,raw,hda,w,discard"]')
    assert toolstack(runtime, "create", *words, *PREPARED).errors.count("warning: ") == 3
    assert "warning: " not in toolstack(runtime, *ON_XEN, *words).errors


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--platform", "qemu-pc"], "--platform qemu-pc: "),
        (["--xenstore", "/run/x"], "--xenstore /run/x: "),
        (["--stubdom-xenstore", "ring"], "--stubdom-xenstore ring: "),
        (["--rom", "qemu"], "--rom qemu: "),
        (["--native", "device_model_stubdomain_override=1"], "--native: a stub domain"),
        (
            ["--device-model", "true", "device_model_stubdomain_override=1"],
            "--device-model true: a stub domain",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_of_the_simulation_alone_is_refused_on_xen(
    config: str, runtime: Path, options: list[str], told: str
) -> None:
    run = toolstack(runtime, *ON_XEN, config, *options)
    assert run.status == 10
    assert f"toolstack: error: {told}" in run.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order_and_in_time(
    number: signal.Signals, config: str, runtime: Path
) -> None:
    with start(runtime, "create", config, "--machine", "none") as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if b"unpaused" in line:
                    break
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert (out, err) == (b"", b"")
    assert left_behind(runtime, process.pid) == []


def test_whoever_reads_the_stages_may_hang_up(config: str, runtime: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.Popen(
        [sys.executable, "-m", "toolstack", "create", config, *PREPARED],
        stderr=write_end,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
    )
    os.close(write_end)
    assert process.wait(timeout=60) == 0
    assert left_behind(runtime, process.pid) == []


FAULTY = """
import sys
import toolstack.cli as cli

async def create(*arguments):
    {fault}

cli.create = create
cli.cli(prog_name="toolstack")
"""


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        "raise KeyError('of ours')",
        "raise ExceptionGroup('a', [ExceptionGroup('b', [KeyError('of ours')])])",
        "raise KeyError('of ours') from ValueError('inner')",
    ],
)
def test_a_fault_of_ours_is_one_line_and_a_traceback_only_for_who_asks(
    fault: str, verbose: bool, config: str, runtime: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FAULTY.format(fault=fault), "create", config, "--machine", "none"]
        + ["-v"] * verbose,
        capture_output=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        timeout=60,
    )
    errors = text(run.stderr)
    assert run.returncode == 70, errors
    line = errors.splitlines()[-1]
    assert line.startswith("toolstack: error: KeyError('of ours'): a fault of ours")
    assert ("Traceback" in errors) == verbose
    assert verbose or len(errors.splitlines()) == 1


def test_refusals_that_come_in_a_group_are_still_one_line(config: str, runtime: Path) -> None:
    fault = (
        "from handoff.errors import ImageError; "
        "raise ExceptionGroup('a', [ImageError('first'), ImageError('second')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", FAULTY.format(fault=fault), "create", config, "--machine", "none"],
        capture_output=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        timeout=60,
    )
    assert (run.returncode, text(run.stderr)) == (11, "toolstack: error: first\n")


def test_cleanup_of_what_it_may_not_remove_is_one_line(runtime: Path) -> None:
    run = toolstack(runtime, "cleanup", "--xenstore", str(runtime / "missing"))
    assert run.status == 18
    assert len(run.errors.splitlines()) == 1
    assert "xenstore-sim --rundir" in run.errors


def test_demo_of_linux_without_its_images_says_how_to_get_them(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = toolstack(runtime, "demo", "--linux")
    assert run.status == 11, run.errors
    assert "make images" in run.errors
