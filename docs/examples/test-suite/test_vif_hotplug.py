"""Tests of vif_hotplug.py: a real process that speaks to a xenstored, without Xen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from vif_hotplug import WRITE, Refused, Xenstore

SCRIPT = Path(__file__).with_name("vif_hotplug.py")
BACK = "/local/domain/0/backend/vif/3/0"


@pytest.fixture
def start(xenstored):
    """Starts the script for domain 3; whatever the test does, it is ended."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, SCRIPT, "3", "0", "00:16:3e:00:00:01"],
            env={**os.environ, **xenstored.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def connect_backend(xenstored, process):
    """Be the backend: connect when the device is there."""
    assert process.stdout.readline() == "plugged\n"
    xenstored.write(f"{BACK}/state", "4")


def test_both_halves_are_written(xenstored, start):
    process = start()
    connect_backend(xenstored, process)
    assert process.communicate(timeout=10)[0] == "connected\n"
    assert xenstored.read(f"{BACK}/frontend") == b"/local/domain/3/device/vif/0"
    assert xenstored.read("/local/domain/3/device/vif/0/mac") == b"00:16:3e:00:00:01"


@pytest.mark.xenstored(faults="eagain=0.8")
def test_it_tries_again_when_the_transaction_meets_a_conflict(xenstored, start):
    process = start()
    connect_backend(xenstored, process)
    assert process.communicate(timeout=10)[0] == "connected\n"
    # Each attempt began anew: no half of a device was ever to be seen.
    assert xenstored.ls("/local/domain/3/device/vif") == ("0",)


@pytest.mark.xenstored(faults="late=1,late_s=0.01-0.2,spurious=0.5")
def test_it_looks_at_the_state_whenever_an_event_comes(xenstored, start):
    process = start()
    connect_backend(xenstored, process)
    assert process.communicate(timeout=10)[0] == "connected\n"
    assert xenstored.faults


@pytest.mark.xenstored(faults=f"disconnect=1,op=READ,path={BACK}")
def test_a_daemon_that_goes_away_is_told_in_one_line(xenstored, start):
    _, errors = start().communicate(timeout=10)
    assert errors.endswith("ConnectionError: the xenstore daemon closed the connection\n")


@pytest.mark.xenstored(compat="4.17")
def test_it_works_with_the_oldest_release_we_support(xenstored, start):
    process = start()
    connect_backend(xenstored, process)
    assert process.communicate(timeout=10)[0] == "connected\n"


@pytest.mark.xenstored(quotas={"nodes": 5})
def test_a_guest_cannot_fill_the_store(xenstored):
    xenstored.write("/local/domain/3/data", "", perms="n3")
    # The guest's own connection: unprivileged, with its quotas and permissions.
    with Xenstore(str(xenstored.introduce(3))) as guest:
        for number in range(4):
            guest.ask(WRITE, f"data/{number}")
        with pytest.raises(Refused, match="ENOSPC"):
            guest.ask(WRITE, "data/4")
