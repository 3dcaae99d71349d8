"""How a boot that cannot be looks to its user."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.toolstack_runs import Run, left_behind


def refusal(run: Run, runtime: Path, status: int, *words: str) -> str:
    """The one error line of `run`, which ended with `status` and before any guest ran."""
    assert run.status == status, run.errors
    assert "Traceback" not in run.errors
    assert "unpaused" not in run.errors
    assert run.console == ""
    (line,) = [line for line in run.errors.splitlines() if line.startswith("toolstack: error: ")]
    for word in words:
        assert word in line, line
    assert left_behind(runtime, run.pid) == []
    return line
