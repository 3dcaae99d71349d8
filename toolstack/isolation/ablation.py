"""Takes each layer away in turn, and leaves each alone in turn, to see what it carries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from handoff.confinement import Layer, State
from toolstack.isolation.attempt import Attempt
from toolstack.isolation.promises import Beyond
from toolstack.isolation.scene import Scene
from toolstack.isolation.trial import Setting, run_trial

_NAMESPACES = (Layer.USER_NAMESPACE,) if os.getuid() != 0 else ()
_NEEDED = {
    **dict.fromkeys(
        (
            *(Layer.MOUNT_NAMESPACE, Layer.IPC_NAMESPACE, Layer.NET_NAMESPACE),
            *(Layer.UTS_NAMESPACE, Layer.CGROUP_NAMESPACE, Layer.PID_NAMESPACE),
        ),
        _NAMESPACES,
    ),
    Layer.LANDLOCK_FILES: (Layer.NO_NEW_PRIVS,),
    Layer.LANDLOCK_TCP: (Layer.NO_NEW_PRIVS,),
    Layer.LANDLOCK_SCOPES: (Layer.NO_NEW_PRIVS,),
    Layer.SECCOMP: (Layer.NO_NEW_PRIVS,),
}
"""What a layer cannot be applied without; root leaves namespaces without one of its own."""


@dataclass(frozen=True, slots=True)
class Weight:
    """What one layer carries.

    through: attempts that get through without it, all others in place. alone: those that it stops
    with no other in place. applied: whether this kernel and this user have it.
    """

    layer: Layer
    applied: bool
    through: tuple[str, ...]
    alone: tuple[str, ...]

    @property
    def carries(self) -> bool:
        return bool(self.through or self.alone)


async def weigh(
    scene: Scene, attempts: Sequence[Attempt], layers: Sequence[Layer]
) -> tuple[Weight, ...]:
    """The weight of each of `layers`, in order."""
    if not layers:
        return ()
    within = [
        attempt
        for attempt in attempts
        if attempt.barrier is not None and not isinstance(attempt.barrier, Beyond)
    ]
    bare = await run_trial(scene, Setting("bare", without=tuple(Layer)), within)
    # What seals stop with no layer at all says nothing about one.
    open_ones = [attempt for attempt in within if bare.results[attempt.name].through]
    return tuple([await _weight(scene, open_ones, layer) for layer in layers])


async def _weight(scene: Scene, attempts: Sequence[Attempt], layer: Layer) -> Weight:
    without = await run_trial(scene, Setting(f"without {layer.value}", without=(layer,)), attempts)
    needed = (layer, *_NEEDED.get(layer, ()))
    others = tuple(other for other in Layer if other not in needed)
    alone = await run_trial(scene, Setting(f"{layer.value} alone", without=others), attempts)
    return Weight(
        layer,
        alone.states[layer] is State.APPLIED,
        tuple(name for name, result in without.results.items() if result.through),
        tuple(name for name, result in alone.results.items() if not result.through),
    )
