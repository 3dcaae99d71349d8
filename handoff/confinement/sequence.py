"""A process confines itself: every layer, in the order that works, each with its outcome.

Two steps. `prepare` runs before the event loop exists: it can tell what was inherited from what
the loop is about to open. `confine` runs inside the loop, when nothing more will be opened.

The order. Ids go before namespaces, with their capabilities kept, so that the namespaces belong to
the unprivileged user and not to root; the capabilities end once namespaces have used them. The
pid namespace is the last of them: it takes a fork, and the process that stays outside to wait
should have no more than the one inside. The kernel forgets the parent-death signal when ids
change, so that comes after. Landlock and seccomp need no_new_privs; seccomp forbids what all the
others are made with, so it is last.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from handoff.confinement.descriptors import close_all_but, require_harmless
from handoff.confinement.landlock import LANDLOCK_LAYERS, forbid_everything
from handoff.confinement.layers import ConfinementError, Layer, Mode, Outcome, Report, State
from handoff.confinement.limits import limits_for, set_limits
from handoff.confinement.namespaces import NAMESPACE_LAYERS, leave
from handoff.confinement.pid_namespace import enter_pid_namespace
from handoff.confinement.preload import preload_for_errors
from handoff.confinement.privileges import Identity, change_identity, drop_capabilities
from handoff.confinement.process import (
    die_with_parent,
    forbid_dumps,
    forbid_new_privileges,
    require_parent,
)
from handoff.confinement.profiles import Profile
from handoff.confinement.seccomp import Violation, install_filter

__all__ = ["Prepared", "confine", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A process that holds only the descriptors it was meant to have: what `confine` takes.

    without: layers taken away on purpose, to show what then gets through.
    """

    mode: Mode
    keep_fds: frozenset[int]
    parent_pid: int
    without: frozenset[Layer]
    descriptors: Outcome

    def wants(self, layer: Layer) -> bool:
        """Whether `layer` is to be applied."""
        return self.mode is not Mode.OFF and layer not in self.without

    def off(self, layer: Layer) -> Outcome:
        """The outcome of a layer that is not wanted."""
        return Outcome(layer, State.OFF, "" if self.mode is Mode.OFF else "taken away")


def prepare(
    *,
    mode: Mode,
    keep_fds: Iterable[int],
    parent_pid: int | None = None,
    without: Iterable[Layer] = (),
) -> Prepared:
    """The process with every descriptor but `keep_fds` closed and its error texts loaded.

    Call this after all imports and before the event loop starts.

    parent_pid: the process that must not be outlived, as that process said; None takes the parent
    of this moment, which misses a parent that is gone already.

    Raises: ConfinementError when one of `keep_fds` is not open or is a directory.
    """
    keep = frozenset(keep_fds)
    parent = os.getppid() if parent_pid is None else parent_pid
    off = Outcome(Layer.DESCRIPTORS, State.OFF, "" if mode is Mode.OFF else "taken away")
    plan = Prepared(mode, keep, parent, frozenset(without), off)
    if mode is Mode.OFF:
        return plan
    require_harmless(keep)
    preload_for_errors()
    if not plan.wants(Layer.DESCRIPTORS):
        return plan
    return Prepared(mode, keep, parent, plan.without, close_all_but(keep))


def confine(
    prepared: Prepared,
    profile: Profile,
    *,
    identity: Identity | None = None,
    address_space_bytes: int | None = None,
    violation: Violation = Violation.REFUSE,
) -> Report:
    """What each layer came to; from here on the process has what `profile` leaves it.

    identity: who to become when started as root; None is nobody. address_space_bytes: RLIMIT_AS,
    to cover guest RAM and all that is mapped; None leaves it.

    It returns in another process where the pid namespace was entered: the one that called waits
    outside and ends as this one does.

    Raises: ConfinementError when STRICT and a layer is unavailable; when the parent is gone; when
    the process has more than one thread, as most layers hold only for the thread that asks.
    """
    if prepared.mode is not Mode.OFF:
        _require_one_thread()
    outcomes: list[Outcome] = [prepared.descriptors]

    def apply(layer: Layer, action: Callable[[], Outcome]) -> None:
        outcomes.append(action() if prepared.wants(layer) else prepared.off(layer))

    apply(Layer.IDENTITY, lambda: change_identity(identity or Identity()))
    for namespace in NAMESPACE_LAYERS:
        apply(namespace, partial(leave, namespace))

    def tie_waiter() -> None:
        if prepared.wants(Layer.PARENT_DEATH):
            die_with_parent(prepared.parent_pid)

    if prepared.wants(Layer.PARENT_DEATH):
        require_parent(prepared.parent_pid)
    apply(Layer.PID_NAMESPACE, lambda: enter_pid_namespace(tie_waiter))
    apply(Layer.CAPABILITIES, drop_capabilities)
    alone = any(
        outcome.layer is Layer.USER_NAMESPACE and outcome.state is State.APPLIED
        for outcome in outcomes
    )
    limits = limits_for(
        highest_fd=max(prepared.keep_fds, default=2),
        threads=profile.threads,
        address_space_bytes=address_space_bytes,
        counted_alone=alone,
    )
    apply(Layer.RLIMITS, lambda: set_limits(limits))
    apply(Layer.NO_DUMP, forbid_dumps)
    apply(Layer.PARENT_DEATH, lambda: die_with_parent(prepared.parent_pid))
    apply(Layer.NO_NEW_PRIVS, forbid_new_privileges)
    wanted = frozenset(layer for layer in LANDLOCK_LAYERS if prepared.wants(layer))
    restricted = {outcome.layer: outcome for outcome in forbid_everything(wanted)}
    outcomes.extend(restricted.get(layer) or prepared.off(layer) for layer in LANDLOCK_LAYERS)
    apply(Layer.SECCOMP, lambda: install_filter(profile, violation))
    return _judge(Report(tuple(outcomes)), prepared.mode)


def _require_one_thread() -> None:
    try:
        count = len(os.listdir("/proc/self/task"))
    except OSError:  # no /proc: Python's own threads are all that can be counted
        count = threading.active_count()
    if count != 1:
        raise ConfinementError(
            f"the process has {count} threads: confine it before it starts a second one"
        )


def _judge(report: Report, mode: Mode) -> Report:
    if mode is Mode.STRICT and not report.complete:
        missing = "; ".join(
            f"{outcome.layer.value}: {outcome.detail}"
            for outcome in report.in_state(State.UNAVAILABLE)
        )
        raise ConfinementError(
            f"sandbox strict: {missing}; `--sandbox auto` runs with what there is", report
        )
    return report
