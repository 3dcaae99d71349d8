"""What a daemon counted goes on in another."""

from dataclasses import fields

from xenstore_sim.migration.supplement import Supplement
from xenstore_sim.store.call import World


def restore_counts(world: World, supplement: Supplement) -> None:
    """Counters, maxima and whether the log is on; what only the older daemon counted is left."""
    counters = world.counters
    for each in fields(counters):
        if each.name in supplement.counters:
            setattr(counters, each.name, supplement.counters[each.name])
    counters.requests.update(supplement.requests)
    counters.errors.update(supplement.errors)
    for state in supplement.accounts:
        account = world.accounts.of(state.domid)
        account.most = dict(state.most)
        account.above_soft = state.above_soft
        account.warnings = state.warnings
        account.stalls = state.stalls
    world.accounts.past = dict(supplement.past)
    world.log.resume(opened=supplement.log.opened, switches=supplement.log.switches)
