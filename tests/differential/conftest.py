"""What the conversations of a run amount to is said at its end."""

import pytest

from tests.differential.campaign import Tally
from tests.oracle.conftest import real_xenstored

__all__ = ["pytest_terminal_summary", "real_xenstored", "tally"]

_TALLY = pytest.StashKey[Tally]()


@pytest.fixture
def tally(pytestconfig: pytest.Config) -> Tally:
    """The count of this run."""
    return pytestconfig.stash.setdefault(_TALLY, Tally())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many and how fast."""
    tally = config.stash.get(_TALLY, None)
    if tally is not None and tally.conversations:
        terminalreporter.write_line(f"xenstored compared: {tally}")
