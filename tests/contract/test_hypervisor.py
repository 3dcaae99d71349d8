from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from handoff.errors import HypervisorError
from tests.contract.fake_libxc import FakeDomain, FakeLibxc
from tests.contract.hypervisor import RULES, Rule
from toolstack.xen.libxc import DomainInfo, Libxc, Shutdown, require_dom0, running_version
from xenstore_sim.wire.names import DomId

DOMID = DomId(5)
UUID_5 = UUID("12345678-9abc-def0-1234-56789abcdef0")


@pytest.fixture
def xen() -> FakeLibxc:
    xen = FakeLibxc()
    xen.domains = {0: FakeDomain(UUID(int=0), pauses=0), DOMID: FakeDomain(UUID_5)}
    return xen


@pytest.fixture
def libxc(xen: FakeLibxc) -> Iterator[Libxc]:
    with closing(Libxc(xen)) as libxc:
        yield libxc


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_hypervisor(libxc: Libxc, rule: Rule) -> None:
    rule(libxc, DOMID, UUID_5)


@pytest.mark.parametrize(
    ("reason", "told"), [(0, Shutdown.POWEROFF), (3, Shutdown.CRASH), (77, 77)], ids=str
)
def test_why_a_domain_shut_down_is_told(
    libxc: Libxc, xen: FakeLibxc, reason: int, told: Shutdown | int
) -> None:
    xen.domains[DOMID].flags = 1 << 2 | reason << 16
    assert libxc.domain(DOMID) == DomainInfo(DOMID, UUID_5, True, False, told)


def test_a_refusal_names_what_was_asked_and_the_errno(libxc: Libxc, xen: FakeLibxc) -> None:
    xen.refuses = errno.EPERM
    with pytest.raises(HypervisorError, match=r"refused to unpause domain 5 \(EPERM"):
        libxc.unpause(DOMID)
    with pytest.raises(HypervisorError, match=r"refused to ask for domain 5 \(EPERM"):
        libxc.domain(DOMID)


def test_a_control_interface_that_is_closed_to_us_is_told_as_that(xen: FakeLibxc) -> None:
    xen.open_errno = errno.EACCES
    with pytest.raises(HypervisorError, match=r"Permission denied.*run as root in dom0"):
        Libxc(xen)


def test_the_library_adds_no_lines_of_its_own_to_ours(
    libxc: Libxc, xen: FakeLibxc, capfd: pytest.CaptureFixture[str]
) -> None:
    xen.refuses = xen.open_errno = errno.EPERM
    with pytest.raises(HypervisorError, match="refused to unpause"):
        libxc.unpause(DOMID)
    with pytest.raises(HypervisorError, match="cannot be opened"):
        Libxc(xen)
    assert capfd.readouterr().err == ""


def sysfs(directory: Path, kind: str = "xen") -> Path:
    (directory / "version").mkdir()
    (directory / "type").write_text(f"{kind}\n")
    (directory / "version/major").write_text("4\n")
    (directory / "version/minor").write_text("17\n")
    return directory


def test_the_library_is_that_of_the_hypervisor_that_runs(tmp_path: Path) -> None:
    assert running_version(sysfs(tmp_path)) == "4.17"


def test_a_missing_library_is_named_with_its_package(tmp_path: Path) -> None:
    (sysfs(tmp_path) / "version/minor").write_text("99\n")
    with pytest.raises(HypervisorError, match=r"libxenctrl\.so\.4\.99 .*Debian: libxenmisc4\.99"):
        Libxc(sysfs=tmp_path)


def test_a_host_without_xen_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match=r"no-such-place/type: No such.*this is no Xen host"):
        Libxc(sysfs=tmp_path / "no-such-place")
    with pytest.raises(HypervisorError, match="is 'kvm', not xen"):
        running_version(sysfs(tmp_path, "kvm"))


@pytest.mark.parametrize(
    ("words", "told"), [(None, "mount xenfs"), ("", "no control_d"), ("control_d\n", None)]
)
def test_only_dom0_controls_domains(tmp_path: Path, words: str | None, told: str | None) -> None:
    file = tmp_path / "capabilities"
    if words is not None:
        file.write_text(words)
    if told is None:
        require_dom0(file)
        return
    with pytest.raises(HypervisorError, match=told):
        require_dom0(file)
