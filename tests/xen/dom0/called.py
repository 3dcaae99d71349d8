"""`toolstack` called in the scenario's own process: one start of Python for many calls."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from toolstack.cli import cli

TOLD: Final = Path("/run/called.json")


def create(config: Path, *options: str) -> dict[str, Any]:
    """Exit status, and what it told as JSON lines. Its text goes to the bed's console."""
    TOLD.unlink(missing_ok=True)
    words = ("create", str(config), "--machine", "xen", "--json-file", str(TOLD), *options)
    status = _status(words)
    return {
        "status": status,
        "told": [json.loads(line) for line in TOLD.read_text().splitlines()],
    }


def cleanup() -> dict[str, Any]:
    """Exit status, and what it said."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = _status(("cleanup", "--machine", "xen"))
    return {"status": status, "said": said.getvalue().splitlines()}


def _status(words: Sequence[str]) -> int | str | None:
    try:
        cli.main(words, prog_name="toolstack", standalone_mode=False)
    except SystemExit as ended:
        return ended.code
    return None
