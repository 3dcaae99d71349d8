"""A daemon's state as it begins."""

from functools import partial

from xenstore_sim.store.access import AccessRules
from xenstore_sim.store.accounts import Accounts
from xenstore_sim.store.call import World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.counters import Counters
from xenstore_sim.store.domains import DomainExists, Domains
from xenstore_sim.store.live_update import LiveUpdate
from xenstore_sim.store.log import Log, LogFile
from xenstore_sim.store.memory import has_room
from xenstore_sim.store.notifier import Notifier
from xenstore_sim.store.quotas import QuotaRules
from xenstore_sim.store.settings import Settings
from xenstore_sim.store.tree import Tree
from xenstore_sim.store.view import DirectView
from xenstore_sim.store.watches import ConnId, Watches


def fresh_world(settings: Settings, domain_exists: DomainExists, log_file: LogFile) -> World:
    """The parts of a daemon, put together; nothing but the nodes of a fresh store is in them."""
    compat, counters, accounts = settings.compat, Counters(), Accounts()
    tree = Tree(
        accounts,
        node_overhead=compat.node_overhead,
        anyone_sees_release=compat.any_domain,
        special_nodes=compat.special_nodes,
    )
    domains, watches = Domains(domain_exists), Watches()
    rules = AccessRules(domains, any_domain=compat.any_domain)
    connections: dict[ConnId, Connection] = {}
    log = Log(log_file, counters)
    notifier = Notifier(
        tree, watches, rules, connections, counters, log, domid_events=compat.watch_depth
    )
    world = World(
        compat=compat,
        quotas=settings.quotas,
        quota_rules=QuotaRules(compat),
        accounts=accounts,
        tree=tree,
        domains=domains,
        rules=rules,
        watches=watches,
        connections=connections,
        by_domain={},
        counters=counters,
        log=log,
        notifier=notifier,
        direct=DirectView(tree, notifier),
        live_update=LiveUpdate(),
        commands=[],
    )
    notifier.has_room = partial(has_room, world)
    return world
