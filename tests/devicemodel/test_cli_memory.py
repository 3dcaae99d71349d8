"""Where the device model finds guest RAM and xenstored: refusals, before anything is touched."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from handoff.errors import ConfigError, HypervisorError, XenstoreUnavailable

ON_XEN = os.path.exists("/dev/xen/privcmd")


def run(*words: str, connected: bool = True) -> tuple[int, str]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        xenstore = ("--xenstore-fd", str(theirs.fileno())) if connected else ()
        done = subprocess.run(
            [sys.executable, "-I", "-m", "devicemodel", "-xen-domid", "5", *xenstore, *words],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "words",
    [(), ("--ram-fd", "2", "--foreign-ram", "0x1000:0x1000")],
    ids=["neither", "both"],
)
def test_guest_ram_is_a_file_or_a_domains(words: tuple[str, ...]) -> None:
    status, said = run(*words)
    assert status == ConfigError.exit_code, said
    assert "--ram-fd, --foreign-ram: guest RAM is either a file or a domain's" in said


@pytest.mark.skipif(ON_XEN, reason="this is a domain of a Xen host")
def test_without_xen_a_domains_ram_is_refused_in_one_line() -> None:
    status, said = run("--foreign-ram", "0x1000:0x1000")
    assert status == HypervisorError.exit_code, said
    assert said.count("\n") == 1
    assert "libxenforeignmemory" in said or "/dev/xen/privcmd" in said


@pytest.mark.skipif(ON_XEN, reason="this is a domain of a Xen host")
def test_without_xen_there_is_no_xenstore_device() -> None:
    status, said = run("--foreign-ram", "0x1000:0x1000", connected=False)
    assert status == XenstoreUnavailable.exit_code, said
    assert "/dev/xen/xenbus: No such file or directory" in said


@pytest.mark.parametrize("text", ["0x1000", "1:2:3", "x:1", "0x1000:0"])
def test_a_stretch_of_ram_that_is_none_is_refused(text: str) -> None:
    status, said = run("--foreign-ram", text)
    assert status == 2
    assert "is not GPA:BYTES" in said


@pytest.mark.parametrize("domid", ["0", "-1", "32752", "65541", "five"])
def test_a_target_that_is_no_domain_is_refused(domid: str) -> None:
    # 65541 would be 5 where a domid has 16 bits.
    status, said = run("--foreign-ram", "0x1000:0x1000", "-xen-domid", domid)
    assert status == 2, said
    assert f"{domid!r} is no domain to serve: 1 to 32751" in said
