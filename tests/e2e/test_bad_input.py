"""What cannot boot ends in one line with what, where, the bound and the remedy, and leaves
nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.e2e.refusals import refusal
from tests.e2e.toolstack_runs import left_behind, start, text, toolstack, write_config
from xenstore_sim.client import Client


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (None, 11, ("kernel", "missing", "No such file", "name a readable file")),
        (b"", 11, ("kernel", "is empty (0 bytes)")),
        (b"\x4d\x5a" + bytes(200), 12, ("kernel header", "0x202", "missing")),
        (bytes(1 << 16), 12, ("kernel header", "0x202", "00000000", "HdrS")),
    ],
    ids=["missing", "empty", "cut in the header", "no kernel"],
)
def test_a_kernel_file_that_is_none_is_refused(
    content: bytes | None, status: int, words: tuple[str, ...], tmp_path: Path, runtime: Path
) -> None:
    kernel = tmp_path / "missing"
    if content is not None:
        kernel.write_bytes(content)
    config = write_config(tmp_path / "guest.cfg", memory=128, kernel=kernel)

    run = toolstack(runtime, "create", str(config), "--machine", "none")

    refusal(run, runtime, status, *words)


def test_a_native_boot_of_a_missing_file_is_refused_in_the_same_words(
    tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg", memory=128, kernel=tmp_path / "missing")

    run = toolstack(runtime, "create", str(config), "--machine", "none", "--native")

    refusal(run, runtime, 11, "kernel", "missing", "No such file")


def test_a_directory_is_no_kernel(tmp_path: Path, runtime: Path) -> None:
    config = write_config(tmp_path / "guest.cfg", memory=128, kernel=tmp_path)

    run = toolstack(runtime, "create", str(config), "--machine", "none")

    refusal(run, runtime, 11, str(tmp_path), "is not a regular file")


@pytest.mark.parametrize("native", [(), ("--native",)], ids=["handoff", "native"])
def test_a_kernel_cut_after_its_header_is_refused(
    native: tuple[str, ...], debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(debian["vmlinuz"].read_bytes()[:0x4000])
    config = write_config(tmp_path / "guest.cfg", kernel=cut)

    run = toolstack(runtime, "create", str(config), "--machine", "none", *native)

    refusal(run, runtime, 12, "setup_header.setup_sects", "0x1f1", "0x4000", "cut short")


def test_too_little_memory_for_the_kernel_names_what_is_missing_and_that_suffices(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg", kernel=debian["vmlinuz"])

    run = toolstack(runtime, "create", str(config), "memory=64", "--machine", "none")

    line = refusal(run, runtime, 13, "kernel (init_size 0x3378000) needs [0x1000000, 0x4378000)")
    more = re.search(r"at least (\d+) MiB more memory", line)
    assert more is not None, line
    enough = 64 + int(more[1])
    run = toolstack(
        runtime, "create", str(config), f"memory={enough}", "--machine", "none", "--timeout", "0.1"
    )
    assert "ready" in run.errors, run.errors
    run = toolstack(runtime, "create", str(config), f"memory={enough - 1}", "--machine", "none")
    assert run.status == 13, run.errors


def test_an_initrd_that_does_not_fit_names_what_is_missing(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    config = write_config(
        tmp_path / "guest.cfg", memory=128, kernel=debian["vmlinuz"], ramdisk=large
    )

    run = toolstack(runtime, "create", str(config), "--machine", "none")

    refusal(run, runtime, 13, "do not fit", "[0x200000, 0x6000000)", "MiB more memory")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('bios="rombios"', ("bios", "rombios", "seabios")),
        ('device_model_version="qemu-xen-traditional"', ("device_model_version", "qemu-xen")),
        ("memory=1", ("memory", "64")),
        ("carrier=[", ("line", "carrier")),
    ],
)
def test_a_setting_that_libxl_refuses_is_refused_with_its_reason(
    setting: str, words: tuple[str, ...], debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg", kernel=debian["vmlinuz"])

    run = toolstack(runtime, "create", str(config), setting, "--machine", "none")

    assert run.status == 10, run.errors
    assert run.errors.count("\n") == 1
    assert any(word in run.errors for word in words)


def test_an_initrd_or_arguments_without_a_kernel_are_refused(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    for settings in ({"ramdisk": debian["initrd.img"]}, {"cmdline": "quiet"}):
        config = write_config(tmp_path / "guest.cfg", **settings)

        run = toolstack(runtime, "create", str(config), "--machine", "none")

        refusal(run, runtime, 10, "without a kernel")


def test_firmware_that_is_not_there_is_named(tmp_path: Path, runtime: Path) -> None:
    missing = tmp_path / "bios.bin"
    config = write_config(tmp_path / "guest.cfg", bios="seabios", bios_path_override=missing)

    run = toolstack(runtime, "create", str(config), "--machine", "none")

    assert run.status == 11, run.errors
    last = f"toolstack: error: bios {missing}: No such file or directory: name a readable file"
    assert run.errors.splitlines()[-1] == last
    assert left_behind(runtime, run.pid) == []


def test_an_unknown_carrier_is_a_usage_error_that_names_the_known_ones(
    tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg")

    run = toolstack(runtime, "create", str(config), "--carrier", "pigeon")

    assert run.status == 2
    assert run.errors.startswith("toolstack: error: Invalid value for '--carrier': 'pigeon' ")
    assert run.errors.count("\n") == 1
    for carrier in ("xenstore", "memory", "cmdline"):
        assert carrier in run.errors


def test_a_kernel_cut_in_its_body_is_refused(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(debian["vmlinuz"].read_bytes()[:100_000])
    config = write_config(tmp_path / "guest.cfg", kernel=cut)

    run = toolstack(runtime, "create", str(config), "--machine", "none")

    refusal(run, runtime, 12, "setup_header.syssize", "0x1f4", "cut short")


def test_a_serial_file_keeps_its_content_until_a_guest_runs(tmp_path: Path, runtime: Path) -> None:
    log = tmp_path / "serial.log"
    log.write_text("of the last run")
    config = write_config(tmp_path / "guest.cfg", kernel=tmp_path / "missing", serial=f"file:{log}")

    run = toolstack(runtime, "create", str(config), "--machine", "none")

    refusal(run, runtime, 11, "missing")
    assert log.read_text() == "of the last run"


def test_a_serial_pipe_that_nobody_reads_is_refused(tmp_path: Path, runtime: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    config = write_config(tmp_path / "guest.cfg", kernel=tmp_path / "x", serial=f"file:{pipe}")

    run = toolstack(runtime, "create", str(config), "--machine", "none")

    refusal(run, runtime, 10, "serial", str(pipe))


def test_a_closed_standard_output_is_not_some_other_file(tmp_path: Path, runtime: Path) -> None:
    progress = tmp_path / "progress.json"

    done = subprocess.run(
        [
            *("sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "toolstack"),
            *("demo", "--machine", "emulator", "-q", "--json-file", str(progress)),
        ],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert "builtin-guest" not in progress.read_text()


def test_an_address_space_too_small_for_the_emulator_is_named(runtime: Path) -> None:
    program = (sys.executable, "-m", "toolstack", "demo", "--machine", "emulator")

    done = subprocess.run(
        ["sh", "-c", 'ulimit -v "$0"; exec "$@"', "900000", *program],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 20
    assert "no 1024 MiB of address space for translated code" in text(done.stderr)
    assert done.stderr.endswith(b"raise the limit (ulimit -v)\n")


def test_a_machine_that_is_not_installed_names_the_package(
    debian: dict[str, Path], tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "guest.cfg", kernel=debian["vmlinuz"])
    monkeypatch.setenv("PATH", str(tmp_path))

    run = toolstack(runtime, "create", str(config), "--machine", "qemu")

    refusal(run, runtime, 20, "qemu-system-x86_64", "qemu-system-x86")


def test_a_guest_that_never_speaks_is_ended(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    # Without console= memtest86+ keeps to a screen that this machine does not have.
    config = write_config(tmp_path / "guest.cfg", memory=128, kernel=debian["memtest86+x64.bin"])

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", "--silence", "2")

    assert run.status == 21, run.errors
    assert run.console == ""
    assert "printed nothing on its serial console in 2 s" in run.errors
    assert left_behind(runtime, run.pid) == []


def test_no_xenstored_in_the_run_directory_says_how_to_start_one(
    tmp_path: Path, runtime: Path, debian: dict[str, Path]
) -> None:
    config = write_config(tmp_path / "guest.cfg", kernel=debian["vmlinuz"])

    run = toolstack(runtime, "create", str(config), "--xenstore", str(runtime))

    assert run.status == 18, run.errors
    assert "xenstore-sim --rundir" in run.errors


async def test_two_toolstacks_on_one_run_directory_are_one_too_many(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg", kernel=debian["vmlinuz"])
    daemon = _daemon(runtime)
    first = start(runtime, "create", str(config), "--machine", "none", "--xenstore", str(runtime))
    try:
        await _wait_for_domain(runtime)
        second = toolstack(runtime, "create", str(config), "--xenstore", str(runtime))
        assert second.status == 19, second.errors
        assert f"process {first.pid}" in second.errors
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=20)
        _stop(daemon)
    assert first.returncode == 128 + signal.SIGTERM


async def test_what_a_killed_toolstack_left_is_taken_away_by_cleanup(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg", kernel=debian["vmlinuz"])
    daemon = _daemon(runtime)
    try:
        for killed in (
            start(runtime, "create", str(config), "--machine", "none", "--xenstore", str(runtime)),
            start(runtime, "create", str(config), "--machine", "none"),
        ):
            _wait_until_ready(killed)
            killed.kill()
            killed.communicate(timeout=20)

        async with Client.connect(runtime / "socket") as client:
            assert await client.directory("/local/domain") == ("1", "0", "2")
        run = toolstack(runtime, "cleanup", "--xenstore", str(runtime))
        assert run.status == 0, run.errors
        assert run.errors.count("removed domain") == 2
        assert run.errors.count("removed run directory") == 1
        async with Client.connect(runtime / "socket") as client:
            assert await client.directory("/local/domain") == ("0",)
            assert await client.directory("/vm") == ()
            assert await client.directory("/libxl") == ()
        assert left_behind(runtime, killed.pid) == []
        again = toolstack(runtime, "cleanup", "--xenstore", str(runtime))
        assert "nothing was left behind" in again.errors
    finally:
        _stop(daemon)


def _daemon(rundir: Path) -> subprocess.Popen[bytes]:
    """xenstore-sim in a process of its own; returns when it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xenstore_sim", "--rundir", str(rundir)],
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stderr is not None
    assert "listening" in text(process.stderr.readline())
    return process


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.communicate(timeout=20)


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if b"unpaused" in line:
            return
    raise AssertionError("it ended before it was ready")


async def _wait_for_domain(rundir: Path) -> None:
    path = rundir / "socket"
    with trio.fail_after(20):
        async with Client.connect(path) as client, client.watch("@introduceDomain") as watch:
            while not await client.exists("/local/domain/1/name"):
                await watch.get()
