"""Quotas on the command line: our spelling of them, and those of xenstored."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import click

from xenstore_sim.store.quotas import BOUND_MAX, QUOTA_NAMES, Quotas

_Command = TypeVar("_Command", bound=Callable[..., object])

_OF_XENSTORED: Final = (
    ("-E", "--entry-nb", "nodes"),
    ("-S", "--entry-size", "node-size"),
    ("-W", "--watch-nb", "watches"),
    ("-t", "--transaction", "transactions"),
    ("-A", "--perm-nb", "node-permissions"),
    ("-M", "--path-max", "path-max"),
)
"""Source: xenstored --help of Xen 4.17."""
_DIGITS: Final = 10


def quota_options(command: _Command) -> _Command:
    """Add the options; what they give arrives as the parameters that `quotas_of` takes."""
    for short, long, name in _OF_XENSTORED:
        parameter = f"only_{name.replace('-', '_')}"
        command = click.option(
            *(short, long, parameter),
            type=click.IntRange(min=0, max=BOUND_MAX),
            metavar="N",
            hidden=True,
        )(command)
    soft = click.option(
        *("-q", "--quota-soft", "soft_quotas"),
        multiple=True,
        metavar="memory=N",
        callback=_soft,
        hidden=True,
    )
    hard = click.option(
        *("-Q", "--quota", "quotas"),
        multiple=True,
        metavar="NAME=N",
        callback=_hard,
        help=f"A bound of every domain, 0 for none; once for each of {', '.join(QUOTA_NAMES)}.",
    )
    return hard(soft(command))


def quotas_of(
    hard: Iterable[tuple[str, int]], soft: Iterable[tuple[str, int]], **only: int | None
) -> Quotas:
    """The default bounds, changed as the command line says. only: by parameter, as click has it."""
    quotas = Quotas()
    for _, _, name in _OF_XENSTORED:
        value = only[f"only_{name.replace('-', '_')}"]
        if value is not None:
            quotas = quotas.with_quota(name, value)
    for name, value in (*hard, *soft):
        quotas = quotas.with_quota(name, value)
    return quotas


def _hard(
    ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    return tuple(_assignment(text, {name: name for name in QUOTA_NAMES}) for text in texts)


def _soft(
    ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    return tuple(_assignment(text, {"memory": "soft-memory"}) for text in texts)


def _assignment(text: str, names: dict[str, str]) -> tuple[str, int]:
    """A quota and its bound. Raises: click.BadParameter."""
    name, _, number = text.partition("=")
    if name not in names:
        raise click.BadParameter(f"{name!r} is no quota; there are {', '.join(names)}")
    # Python refuses to convert thousands of digits.
    digits = number.isascii() and number.isdigit() and len(number) <= _DIGITS
    if not digits or int(number) > BOUND_MAX:
        raise click.BadParameter(
            f"{number!r} is no bound for {name}: a number up to {BOUND_MAX}, 0 for none"
        )
    return names[name], int(number)
