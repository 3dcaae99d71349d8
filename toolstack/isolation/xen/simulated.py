"""The simulation's verdicts, to be shown beside those of a real Xen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from handoff.errors import ConfigError
from toolstack.isolation.verdict import Verdict

_BYTES_MAX: Final = 1 << 20


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
        size = (await trio.Path(earlier).stat()).st_size
        if size > _BYTES_MAX:
            raise ConfigError(f"--beside: {earlier}: {size} bytes, at most {_BYTES_MAX}")
        text = await trio.Path(earlier).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"--beside: {earlier}: {error.strerror}") from error
    try:
        return verdicts(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--beside: {earlier} is not what `toolstack isolation --json` writes: {error!r}"
        ) from error


def verdicts(text: str) -> Mapping[str, Simulated]:
    """Raises: ValueError, KeyError, TypeError."""
    rows: list[dict[str, Any]] = json.loads(text)["attempts"]
    found = [Simulated(row["name"], str(row["outcome"]), Verdict(row["verdict"])) for row in rows]
    return {each.name: each for each in found}
