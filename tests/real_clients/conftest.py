"""Daemons for real clients, ours as each release and Debian's, with the store of a fresh one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest

from tests.real_clients.daemons import SIMULATED, RunningDaemon, real, simulated
from tests.real_clients.libxenstore import Handle, Library, opened

FreshDaemon = Callable[[], AbstractContextManager[RunningDaemon]]
Introduce = Callable[[int], str]
"""Introduces a domain; gives the path of its home, which it owns."""
OpenAs = Callable[[int], Handle]


@pytest.fixture(scope="session")
def library() -> Library:
    return Library.load()


@pytest.fixture(
    scope="package", params=[*(f"sim-{release}" for release in SIMULATED), "xenstored-4.17"]
)
def fresh_daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, library: Library
) -> Iterator[FreshDaemon]:
    """Of ours, one process for all tests: its start takes longer than they do."""
    name, release = request.param.split("-")
    if name == "xenstored":
        yield real
        return
    with simulated(tmp_path_factory.mktemp("run"), release) as daemon:
        yield partial(_lent, daemon, library)


@contextmanager
def _lent(daemon: RunningDaemon, library: Library) -> Iterator[RunningDaemon]:
    """The daemon for one test, which leaves nothing in its store."""
    yield daemon
    with opened(library, daemon.rundir / "socket") as cleaner:
        for domid in range(1, 10):
            if cleaner.is_domain_introduced(domid):
                cleaner.release_domain(domid)
        for name in cleaner.directory("/"):
            if name != "tool":
                cleaner.rm(f"/{name}")
        assert cleaner.directory("/") == ["tool"]
        assert cleaner.directory("/tool") == ["xenstored"]


@pytest.fixture
def daemon(fresh_daemon: FreshDaemon) -> Iterator[RunningDaemon]:
    """A daemon with the store of a fresh one."""
    with fresh_daemon() as daemon:
        yield daemon


@pytest.fixture
def dom0(daemon: RunningDaemon, library: Library) -> Iterator[Handle]:
    """A libxenstore handle on the privileged socket."""
    with opened(library, daemon.rundir / "socket") as handle:
        yield handle


@pytest.fixture
def introduce(daemon: RunningDaemon, dom0: Handle) -> Introduce:
    def introduce(domid: int) -> str:
        home = f"/local/domain/{domid}"
        dom0.introduce_domain(domid, port=daemon.prepare_domain(domid))
        dom0.mkdir(home)
        dom0.set_permissions(home, (domid, 0))
        return home

    return introduce


@pytest.fixture
def open_as(daemon: RunningDaemon, library: Library) -> Iterator[OpenAs]:
    """Opens handles that are an introduced domain, until the end of the test."""
    handles: list[Handle] = []

    def open_as(domid: int) -> Handle:
        handles.append(Handle(library, daemon.domain_socket(domid)))
        return handles[-1]

    yield open_as
    for handle in handles:
        handle.close()
