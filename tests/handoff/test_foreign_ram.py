from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from handoff.addresses import MIB, PAGE, Gpa, GpaRange
from handoff.errors import HypervisorError, RamAccessError
from handoff.foreign_memory import ForeignMemory, load_library
from handoff.foreign_ram import WINDOW_BYTES, ForeignRam
from tests.contract.fake_xen import FakeForeignMemory, fake_domain, page
from xenstore_sim.wire.names import DomId

TARGET = DomId(5)
WHOLE = GpaRange(Gpa(0), 3 * WINDOW_BYTES)
HOLE = WINDOW_BYTES // PAGE + 3
"""A frame of the second window."""


@dataclass
class Domain:
    library: FakeForeignMemory
    memory: ForeignMemory
    ram: ForeignRam


@pytest.fixture
def domain() -> Iterator[Domain]:
    with (
        fake_domain(TARGET, (WHOLE,)) as library,
        closing(ForeignMemory(library)) as memory,
    ):
        yield Domain(library, memory, ForeignRam(memory, TARGET, (WHOLE,)))
        assert library.mapped_now == 0


def touches(ram: ForeignRam, where: GpaRange) -> dict[str, Callable[[], object]]:
    away = Gpa(0) if where.start else Gpa(MIB)
    return {
        "read": lambda: ram.read(where),
        "write": lambda: ram.write(where.start, bytes(where.size)),
        "fill": lambda: ram.fill(where, 0),
        "digest": lambda: ram.digest(where),
        "move from": lambda: ram.move(where, away),
        "move to": lambda: ram.move(GpaRange(away, where.size), where.start),
    }


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EINVAL, "not RAM of it now.*EINVAL"), (errno.ENOENT, "paged out")]
)
@pytest.mark.parametrize("where", [page(HOLE, 2), GpaRange(Gpa(PAGE), 2 * WINDOW_BYTES)], ids=str)
def test_a_frame_that_is_no_ram_is_named_and_nothing_is_changed(
    domain: Domain, where: GpaRange, code: int, words: str
) -> None:
    domain.library.frame_errno[HOLE] = code
    for attempt in touches(domain.ram, where).values():
        told = rf"frame {HOLE:#x} of domain 5.*{words}.*1 of.*create the domain anew"
        with pytest.raises(RamAccessError, match=told):
            attempt()
    for untouched in (page(0, HOLE), page(HOLE + 1, WHOLE.size // PAGE - HOLE - 1)):
        assert domain.ram.read(untouched) == b"\xcc" * untouched.size


def test_the_end_of_the_domain_is_told_as_that(domain: Domain) -> None:
    domain.library.alive = False
    for attempt in touches(domain.ram, page(3)).values():
        with pytest.raises(HypervisorError, match="domain 5 is gone"):
            attempt()


def test_what_xen_does_not_let_us_map_is_told_as_that(domain: Domain) -> None:
    domain.library.frame_errno[3] = errno.EPERM
    with pytest.raises(HypervisorError, match=r"may not map .* of domain 5 at \[0x3000.*EPERM"):
        domain.ram.read(page(3))


def test_a_host_without_memory_for_mappings_is_told_as_that(domain: Domain) -> None:
    domain.library.frame_errno[3] = errno.ENOMEM
    with pytest.raises(HypervisorError, match=r"cannot be mapped .ENOMEM"):
        domain.ram.read(page(3))


def test_a_restricted_handle_reaches_its_target_and_nobody_else(
    domain: Domain, capfd: pytest.CaptureFixture[str]
) -> None:
    domain.memory.restrict(TARGET)
    domain.ram.write(Gpa(0), b"mine")
    other = ForeignRam(domain.memory, DomId(6), (WHOLE,))
    with pytest.raises(HypervisorError, match=r"may not map.*domain 6 is not its target"):
        other.read(page(0))
    assert domain.ram.read(GpaRange(Gpa(0), 4)) == b"mine"
    assert capfd.readouterr().err == "", "the library is not to write lines of its own"


def test_a_kernel_that_restricts_no_handle_is_refused(domain: Domain) -> None:
    domain.library.restrict_errno = errno.ENOTTY
    with pytest.raises(HypervisorError, match=r"cannot be restricted to domain 5.*Linux 4.11"):
        domain.memory.restrict(TARGET)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOENT, r"/dev/xen/privcmd.*no domain of a Xen host"),
        (errno.EACCES, r"/dev/xen/privcmd.*run as root"),
    ],
)
def test_where_there_is_no_xen_or_no_permission_the_handle_says_so(code: int, words: str) -> None:
    with fake_domain(TARGET, (page(0),)) as library:
        library.open_errno = code
        with pytest.raises(HypervisorError, match=words):
            ForeignMemory(library)


def test_a_missing_library_is_named_with_its_package() -> None:
    with pytest.raises(HypervisorError, match=r"libxenmissing\.so\.1 .*Debian: libxenmissing1"):
        load_library("libxenmissing.so.1", "libxenmissing1")


def test_mappings_are_bounded_however_much_is_touched(domain: Domain) -> None:
    for attempt in touches(domain.ram, GpaRange(Gpa(PAGE), 2 * WINDOW_BYTES)).values():
        attempt()
    domain.ram.digest(WHOLE)
    assert domain.library.most_mapped == WINDOW_BYTES // PAGE
