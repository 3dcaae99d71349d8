"""The results for people and for programs."""

from collections.abc import Sequence
from typing import Final

from benchmarks.spread import Spread
from benchmarks.xenstore.measure import Mode, Result

OURS: Final = "ours"
C: Final = "C"
OX: Final = "ox"
LEGEND: Final = (
    "µs       median time of a row's round (of one part, where it says each): unpinned, wall time;",
    "         pinned, CPU time of client and daemon, which other load hardly disturbs",
    "cpu      the daemon's CPU time alone",
    "x C      how many times as fast as C ours is, neighbour by neighbour: median (least-most)",
    "aim      what that median is to reach; ! where it does not",
    "floor    a C program that answers at once with as many bytes and keeps no store",
    "C, ox    xenstored and oxenstored of Xen 4.17, as Debian ships them",
)
_NAME_WIDTH: Final = 33


def table(mode: Mode, cpus: Sequence[int], results: Sequence[Result]) -> list[str]:
    """The rows of one mode."""
    names = list(results[0].samples)
    where = " and ".join(map(str, cpus))
    title = f"{mode.value}: client and daemons on CPU {where}"
    head = (
        f"{'µs':{_NAME_WIDTH}}"
        + "".join(f"{name:>9}" for name in names)
        + f"{'cpu C':>8}{'ours':>8}{'x C':>8} {'(spread)':14}{'aim':>4}{'x ox':>8}"
    )
    return [title, head, *(_line(names, each) for each in results), ""]


def _line(names: Sequence[str], result: Result) -> str:
    faster, aim = result.times_faster(OURS, C), result.mode.aim(result.row)
    spread = f"({faster.least:.2f}-{faster.most:.2f})"
    missed = " " if faster.median >= aim else "!"
    return (
        f"{result.row.name:{_NAME_WIDTH}}"
        + "".join(f" {result.time_us(name).median:8.2f}" for name in names)
        + "".join(f" {result.daemon_us(name).median:7.2f}" for name in (C, OURS))
        + f" {faster.median:7.2f} {spread:14}{aim:4.1f} {missed}"
        + f" {result.times_faster(OURS, OX).median:5.2f}"
    )


def memory_table(memory: dict[str, dict[str, float]]) -> list[str]:
    """Bytes by what takes them and by daemon."""
    first = next(iter(memory.values()))
    lines = [
        "bytes of the daemon's memory",
        " " * _NAME_WIDTH + "".join(f"{name:>11}" for name in first),
    ]
    for what, by_daemon in memory.items():
        lines.append(
            f"{what:{_NAME_WIDTH}}" + "".join(f"{value:11,.0f}" for value in by_daemon.values())
        )
    return [*lines, ""]


def reached(results: Sequence[Result]) -> str:
    """How many rows are where they are to be."""
    met = sum(
        result.times_faster(OURS, C).median >= result.mode.aim(result.row) for result in results
    )
    return f"aims reached: {met} of {len(results)}"


def as_json(results: Sequence[Result]) -> list[dict[str, object]]:
    """Every sample."""
    return [
        {
            "row": result.row.name,
            "mode": result.mode.value,
            "aim": result.mode.aim(result.row),
            "times_faster_than_c": _spread(result.times_faster(OURS, C)),
            "daemons": {
                name: {
                    "wall_us": [each.wall_us for each in samples],
                    "daemon_us": [each.daemon_us for each in samples],
                    "client_us": [each.client_us for each in samples],
                }
                for name, samples in result.samples.items()
            },
        }
        for result in results
    ]


def _spread(spread: Spread) -> dict[str, float]:
    return {"least": spread.least, "median": spread.median, "most": spread.most}
