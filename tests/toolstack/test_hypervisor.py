"""Domids go upwards and round, never one in use; guest memory is what the guest asked for."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import FOUR_GIB, GIB, MIB, Gpa, GpaRange
from handoff.errors import ConfigError
from toolstack.hypervisor import DOMID_LIMIT, Hypervisor, guest_memory
from xenstore_sim.wire.names import DomId


def test_ids_go_upwards_even_when_lower_ones_are_free_again() -> None:
    hypervisor = Hypervisor()
    first = hypervisor.create().domid
    hypervisor.destroy(first)
    assert (first, hypervisor.create().domid) == (1, 2)


@given(in_use=st.sets(st.integers(1, 20).map(DomId)), steps=st.lists(st.booleans(), max_size=60))
def test_no_id_is_given_twice_while_it_is_in_use(in_use: set[DomId], steps: list[bool]) -> None:
    hypervisor = Hypervisor(set(in_use))
    alive = set(in_use)
    for create in steps:
        if create:
            domid = hypervisor.create().domid
            assert domid not in alive
            assert 0 < domid < DOMID_LIMIT
            alive.add(domid)
        elif alive:
            domid = min(alive)
            hypervisor.destroy(domid)
            alive.remove(domid)


def test_after_the_last_id_the_count_begins_again_and_passes_what_is_in_use() -> None:
    hypervisor = Hypervisor({DomId(1)}, DOMID_LIMIT - 2)
    assert hypervisor.create().domid == DOMID_LIMIT - 1
    assert hypervisor.create().domid == 2


def test_when_every_id_is_taken_the_remedy_is_named() -> None:
    hypervisor = Hypervisor({DomId(domid) for domid in range(1, DOMID_LIMIT)})
    with pytest.raises(ConfigError, match="toolstack cleanup"):
        hypervisor.create()


def test_memory_lies_below_the_hole_and_the_rest_at_4_gib() -> None:
    with guest_memory("g", 5 * GIB, Gpa(3 * GIB)) as ram:
        assert ram.ranges == (GpaRange(Gpa(0), 3 * GIB), GpaRange(FOUR_GIB, 2 * GIB))
        assert os.fstat(ram.fd).st_size == ram.bytes == 5 * GIB
        assert ram.e820.ram()[-1] == ram.ranges[1]
        ram.ram.write(Gpa(FOUR_GIB + 5), b"above")
        assert os.pread(ram.fd, 5, 3 * GIB + 5) == b"above"


def test_memory_goes_with_its_context() -> None:
    count = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError), guest_memory("g", 64 * MIB, Gpa(3 * GIB)):
        raise ZeroDivisionError
    assert len(os.listdir("/proc/self/fd")) == count


@pytest.mark.parametrize("limit", ["RLIMIT_FSIZE", "RLIMIT_AS"])
def test_memory_that_the_host_does_not_give_is_a_configuration_error(limit: str) -> None:
    program = (
        "import resource\n"
        "from handoff.addresses import Gpa, GIB\n"
        "from handoff.errors import ConfigError\n"
        "from toolstack.hypervisor import guest_memory\n"
        f"resource.setrlimit(resource.{limit}, (3 << 30, 3 << 30))\n"
        "try:\n"
        "    with guest_memory('g', 64 * GIB, Gpa(3 * GIB)): pass\n"
        "except ConfigError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "memory: the host gives no 65536 MiB" in run.stdout, run.stderr
    assert "lower memory=" in run.stdout


def test_what_a_peer_does_to_its_descriptor_moves_nothing_that_is_loaded(tmp_path: Path) -> None:
    """Position and flags belong to the open file: whoever was handed that has them, too."""
    (tmp_path / "image").write_bytes(b"image")
    place = GpaRange(Gpa(0x1000), 5)
    with guest_memory("g", 64 * MIB, Gpa(3 * GIB)) as ram, open(tmp_path / "image", "rb") as image:
        its = os.dup(ram.fd)
        fcntl.fcntl(its, fcntl.F_SETFL, os.O_RDWR | os.O_APPEND)
        assert ram.ram.copy_from_file(image.fileno(), place) == 5
        os.lseek(its, 0x5000, os.SEEK_SET)
        os.close(its)
        assert ram.ram.read(place) == b"image"
