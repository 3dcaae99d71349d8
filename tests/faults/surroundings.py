"""What is wrong throughout a run, as faults of the daemon, limits and readers."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from tests.faults.impatient import RAM_LIMIT_DIRECTORY
from tests.faults.run import ATTENTIVE, Reader
from tests.faults.trial import Surroundings, Trial

_FULL = Path("/dev/full")
_LATE_S = 1.5


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the toolstack is started."""

    faults: str = ""
    """plan of a daemon of its own"""
    prefix: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    out: Reader = ATTENTIVE
    err: Reader = ATTENTIVE


def conditions(trial: Trial, directory: Path) -> Conditions:
    """Those of this trial; none of its own for most."""
    fault = trial.cell.fault
    if not isinstance(fault, Surroundings):
        return Conditions()
    rate = (0.05, 0.2, 0.6, 1.0)[trial.sim_seed % 4]
    plan = f"seed={trial.sim_seed},"
    match fault:
        case Surroundings.CONFLICTS:
            return Conditions(faults=f"{plan}eagain={rate}")
        case Surroundings.EVENTS:
            return Conditions(faults=f"{plan}late=1,late_s=0.01-0.4,spurious={rate / 2}")
        case Surroundings.SLOW:
            return Conditions(faults=f"{plan}slow={rate / 4},slow_s=0.01-0.2")
        case Surroundings.DISCONNECTS:
            return Conditions(faults=f"{plan}disconnect={rate / 20}")
        case Surroundings.QUOTA:
            return Conditions(faults=f"{plan}enospc={rate / 20}")
        case Surroundings.REFUSALS:
            return Conditions(faults=f"{plan}eacces={rate / 20}")
        case Surroundings.FILE_LIMIT:
            return Conditions(prefix=("prlimit", f"--fsize={32 << 20}"))
        case Surroundings.ADDRESS_LIMIT:
            return Conditions(prefix=("prlimit", f"--as={_address_space(trial)}"))
        case Surroundings.NO_PAGE:
            return Conditions(
                prefix=_small_file_system(directory, _room(trial)),
                environment={RAM_LIMIT_DIRECTORY: str(directory)},
            )
        case Surroundings.JSON_FULL:
            return Conditions(arguments=("--json-file", str(_FULL)))
        case Surroundings.SERIAL_FULL:
            return Conditions(arguments=('serial="file:/dev/full"',))
        case Surroundings.STDERR_FULL:
            return Conditions(err=Reader(file=_FULL))
        case Surroundings.CONSOLE_UNREAD:
            return Conditions(out=Reader(full=True, after_s=inf))
        case Surroundings.CONSOLE_SLOW:
            return Conditions(out=Reader(full=True, after_s=_LATE_S))
        case Surroundings.CONSOLE_CLOSED:
            return Conditions(out=Reader(closed=True))
        case Surroundings.STDERR_SLOW:
            return Conditions(err=Reader(full=True, after_s=_LATE_S))
        case Surroundings.STDERR_UNREAD:
            return Conditions(err=Reader(full=True, after_s=inf))


def _room(trial: Trial) -> int:
    """KiB for guest RAM: none for the images, or for what is placed, or for the guest."""
    return (4, 8, 16, 1024, 3080, 3088, 3096, 3104, 3120, 3200)[trial.sim_seed % 10]


def _address_space(trial: Trial) -> int:
    """Bytes: too few for guest RAM, or for what comes after it."""
    return (160 + trial.sim_seed % 12 * 16) << 20


def _small_file_system(directory: Path, room_kib: int) -> tuple[str, ...]:
    script = 'mount -t tmpfs -o size="$1"k none "$2" && shift 2 && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, "sh", str(room_kib), str(directory))
