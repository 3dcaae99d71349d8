"""The options of `toolstack isolation`: in the simulation, or on a real Xen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import click

from toolstack.machine.choose import MachineChoice

F = TypeVar("F", bound=Callable[..., Any])

_SIMULATION: Final = "simulation"
_OPTIONS: Final = (
    click.argument("config", type=click.Path(path_type=Path), required=False),
    click.option(
        "--machine",
        type=click.Choice([_SIMULATION, MachineChoice.XEN.value]),
        default=_SIMULATION,
        show_default=True,
        help="xen: from a real stub domain, whose kernel and initramfs CONFIG names; in dom0",
    ),
    click.option(
        "--beside",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        metavar="FILE",
        help="with --machine xen: what --json said of the simulation earlier, to be shown beside; "
        "without it the simulation's attempts are made first",
    ),
    click.option("--json", is_flag=True, help="one JSON object instead of tables"),
    click.option(
        "--ablate",
        is_flag=True,
        help="in the simulation: also take each layer away in turn (a few minutes)",
    ),
)


def isolation_options(command: F) -> F:
    """Adds them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class IsolationRequest:
    """What is asked for; config: of a stub domain on a real Xen, None for the simulation."""

    config: Path | None
    beside: Path | None
    json: bool
    ablate: bool

    @classmethod
    def of(
        cls, *, machine: str, config: Path | None, beside: Path | None, json: bool, ablate: bool
    ) -> Self:
        """Raises: UsageError for what does not go together."""
        if machine == _SIMULATION:
            if config is not None or beside is not None:
                raise click.UsageError("CONFIG and --beside are for --machine xen")
        elif config is None:
            raise click.UsageError("--machine xen: name the CONFIG that has stubdomain_kernel=")
        elif ablate:
            raise click.UsageError("--ablate: has nothing to take away on a real Xen")
        return cls(config, beside, json, ablate)
