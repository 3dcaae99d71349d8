"""The simulation's verdicts, to be shown beside those of a real Xen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from handoff.errors import ConfigError, printable
from toolstack.isolation.verdict import Verdict

_BYTES_MAX: Final = 1 << 20
_REASON_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Simulated:
    """What the simulation says of one of its attempts."""

    name: str
    outcome: str
    verdict: Verdict


async def simulated(earlier: Path | None) -> Mapping[str, Simulated]:
    """By name; from what `toolstack isolation --json` wrote earlier, or made anew on this host.

    Raises: ConfigError if that is not what is in the file, HandoffError.
    """
    if earlier is None:
        # What it takes along is nobody's who has asked it before.
        from toolstack.isolation.xen.simulation import simulate

        return await simulate()
    try:
        async with await trio.open_file(earlier, "rb") as file:
            text = await file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"--beside: {earlier}: {error.strerror}") from error
    if len(text) > _BYTES_MAX:
        raise ConfigError(f"--beside: {earlier}: longer than {_BYTES_MAX} bytes")
    try:
        return verdicts(text)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = printable(f"{type(error).__name__}: {error}", _REASON_MAX)
        raise ConfigError(
            f"--beside: {earlier} is not what `toolstack isolation --json` writes: {reason}"
        ) from error


def verdicts(text: bytes) -> Mapping[str, Simulated]:
    """Raises: ValueError, KeyError, TypeError, RecursionError."""
    rows: list[dict[str, Any]] = json.loads(text)["attempts"]
    found = [Simulated(row["name"], str(row["outcome"]), Verdict(row["verdict"])) for row in rows]
    return {each.name: each for each in found}
