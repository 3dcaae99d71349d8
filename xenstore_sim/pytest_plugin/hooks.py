"""What pytest calls: options, the fixture `xenstored`, and its part of a failing test's report."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from xenstore_sim.pytest_plugin.xenstored import Xenstored

_SEED: Final = pytest.StashKey[int]()
_RUNNING: Final = pytest.StashKey["Xenstored"]()
_DIGITS: Final = 20
"""Of a seed."""
_MARKER: Final = (
    "xenstored(compat, quotas, faults, watch_timeout_s): how the daemon of the fixture xenstored"
    " behaves"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the same in a configuration file."""
    group = parser.getgroup("xenstored", "a xenstore daemon for tests")
    compat = "release of Xen whose xenstored to be, as in 4.17"
    seed = "seed of injected faults; another one in each run unless given"
    group.addoption("--xenstored-compat", metavar="RELEASE", help=compat)
    group.addoption("--xenstored-seed", metavar="NUMBER", help=seed)
    parser.addini("xenstored_compat", compat)
    parser.addini("xenstored_seed", seed)


def pytest_configure(config: pytest.Config) -> None:
    """The seed of this run. Raises: pytest.UsageError."""
    config.addinivalue_line("markers", _MARKER)
    text = _option(config, "seed")
    if text is not None and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise pytest.UsageError(
            f"xenstored seed: {text!r} is none: write a decimal number of up to {_DIGITS} digits"
        )
    # Under pytest-xdist all workers have the seed that the user is shown.
    given = getattr(config, "workerinput", {}).get("xenstored_seed", text)
    config.stash[_SEED] = secrets.randbelow(2**32) if given is None else int(given)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist the seed. node: Any, as xdist need not be there."""
    node.workerinput["xenstored_seed"] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """The seed."""
    return f"xenstored: --xenstored-seed={config.stash[_SEED]}"


@pytest.fixture
def xenstored(request: pytest.FixtureRequest) -> Iterator[Xenstored]:
    """A xenstore daemon of this test's own, running in a thread. See docs/testing-with-xenstore.md.

    Its behaviour is set by @pytest.mark.xenstored(compat=, quotas=, faults=, watch_timeout_s=).
    """
    daemon = _started(request.node)
    request.node.stash[_RUNNING] = daemon
    try:
        yield daemon
    finally:
        del request.node.stash[_RUNNING]
        _stop(daemon)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The tree and the injected faults, when a test fails."""
    report = yield
    running = item.stash.get(_RUNNING, None)
    if report.failed and running is not None:
        report.sections.append(("xenstored", running.picture()))
    return report


def _started(item: pytest.Item) -> Xenstored:
    from xenstore_sim.pytest_plugin.options import OptionError, settings
    from xenstore_sim.pytest_plugin.thread import DaemonFailed
    from xenstore_sim.pytest_plugin.xenstored import Xenstored

    seed = item.config.stash[_SEED]
    try:
        options = {"compat": _option(item.config, "compat")} | _marked(item)
        return Xenstored(settings(**options, seed=seed), seed)
    except (OptionError, DaemonFailed) as error:
        reason = str(error)
    pytest.fail(f"the fixture xenstored: {reason}", pytrace=False)


def _stop(daemon: Xenstored) -> None:
    from xenstore_sim.pytest_plugin.thread import DaemonFailed

    try:
        daemon.stop()
        return
    except DaemonFailed as failure:
        reason = str(failure)
    pytest.fail(reason, pytrace=False)


def _option(config: pytest.Config, name: str) -> str | None:
    given = config.getoption(f"xenstored_{name}") or config.getini(f"xenstored_{name}") or None
    return None if given is None else str(given)


def _marked(node: pytest.Item) -> dict[str, Any]:
    """Options of the markers on the test, its class and its module; the nearest wins."""
    from xenstore_sim.pytest_plugin.options import NAMES, OptionError

    options: dict[str, Any] = {}
    for marker in node.iter_markers("xenstored"):
        if marker.args:
            raise OptionError("marker", marker.args[0], f"name it: {', '.join(NAMES)}")
        for name, value in marker.kwargs.items():
            if name not in NAMES:
                raise OptionError(name, value, f"there are {', '.join(NAMES)}")
            options.setdefault(name, value)
    return options
