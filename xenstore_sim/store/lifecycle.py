"""Domains come and go, and what the store does then.

Source: docs/misc/xenstore.txt, INTRODUCE and RELEASE; C xenstored for the order.
"""

from dataclasses import replace

from xenstore_sim.store.call import World
from xenstore_sim.store.commands import Close, CloseDomain, OpenDomain, Reset
from xenstore_sim.store.domains import Domain
from xenstore_sim.store.subtree import remove_subtree
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import (
    DOM0,
    INTRODUCE_DOMAIN,
    RELEASE_DOMAIN,
    ROOT,
    AbsolutePath,
    DomId,
    base_name,
    child,
    parent,
)
from xenstore_sim.wire.ops import Errno


def introduce(world: World, domid: DomId) -> None:
    """Serve the domain; one that is served already begins anew.

    Raises: Refusal, EINVAL, when the hypervisor has no such domain: Linux refuses to map its page.
    """
    if domid == DOM0:
        # It is served from the start, and nobody is told.
        _begin_anew(world, domid)
        return
    domain = world.domains.know(domid, world.tree.generation, world.quotas)
    if domain is None:
        raise Refusal(Errno.EINVAL)
    if domain.introduced:
        _begin_anew(world, domid)
        return
    domain.introduced = True
    world.commands.append(OpenDomain(domid))
    world.notifier.domain_changed(INTRODUCE_DOMAIN, domid)


def release(world: World, domain: Domain) -> None:
    """Drop the domain, unless a stub domain holds it as its target: then only that hold."""
    if world.domains.is_held(domain.domid):
        world.domains.drop_hold(domain.domid)
    else:
        _clean_up(world, domain)


def destroyed(world: World, domain: Domain) -> None:
    """The hypervisor has the domain no more; while a stub domain holds it, it stays."""
    domain.dead = True
    if not world.domains.is_held(domain.domid):
        _clean_up(world, domain)


def shut_down(world: World, domain: Domain) -> None:
    """The domain stopped and still exists: told once, until it is resumed."""
    if domain.introduced and not domain.shutdown_reported:
        domain.shutdown_reported = True
        world.notifier.domain_changed(RELEASE_DOMAIN, domain.domid, domid_first=True)


def set_target(world: World, domain: Domain, target: DomId) -> None:
    """Let the domain act as its target too, and hold it."""
    domain.target = target
    world.domains.hold(domain.domid, target)
    _identify(world, domain.domid, target)


def end_connection(world: World, conn_id: ConnId) -> None:
    """Forget a connection with its watches and transactions; its domain lives on."""
    ignore_connection(world, conn_id)
    conn = world.connections.pop(conn_id)
    world.live_update.end_of(conn_id)
    world.log.connection(conn, "is gone")
    if world.by_domain.get(conn.identity.domid) == conn_id:
        del world.by_domain[conn.identity.domid]


def ignore_connection(world: World, conn_id: ConnId) -> None:
    """Drop all that a connection has, and hear and tell it nothing more."""
    conn = world.connections[conn_id]
    conn.broken = True
    conn.forget()
    world.watches.drop_connection(conn_id)
    world.notifier.woken.pop(conn_id, None)
    world.notifier.deaf.pop(conn_id, None)


def _begin_anew(world: World, domid: DomId) -> None:
    conn_id = world.by_domain.get(domid)
    if conn_id is None:
        return
    conn = world.connections[conn_id]
    if conn.outbox.torn and not conn.ring:
        # On a stream the client could never tell where the next message begins.
        end_connection(world, conn_id)
        world.commands.append(Close(conn_id))
        return
    conn.forget()
    world.watches.drop_connection(conn_id)
    if conn.ring:
        world.commands.append(Reset(conn_id))


def _clean_up(world: World, domain: Domain) -> None:
    """End the domain. Before it go, the newest hold first, the targets whose death waited only
    for it."""
    # By hand, not by recursion: targets can hold targets, more of them than Python's stack.
    leaving = [domain]
    _disconnect(world, domain)
    while leaving:
        target = _let_go(world, leaving[-1].domid)
        if target is None:
            _forget(world, leaving.pop())
        else:
            _disconnect(world, target)
            leaving.append(target)


def _disconnect(world: World, domain: Domain) -> None:
    if (conn_id := world.by_domain.get(domain.domid)) is not None:
        end_connection(world, conn_id)
        world.commands.append(Close(conn_id))
    if domain.introduced:
        world.commands.append(CloseDomain(domain.domid))


def _let_go(world: World, holder: DomId) -> Domain | None:
    """Let go of the domain's targets; the next one that is to go for that."""
    while targets := world.domains.held_by(holder):
        target = world.domains.get(targets[-1])
        world.domains.drop_hold(targets[-1], holder)
        if target is not None and target.dead and not world.domains.is_held(target.domid):
            return target
    return None


def _forget(world: World, domain: Domain) -> None:
    domid = domain.domid
    _remove_owned(world, domid)
    if world.compat.strips_dead:
        _strip(world, domid)
    world.domains.forget(domid)
    world.accounts.close(domid)
    for conn in world.connections.values():
        if conn.identity.target == domid:
            _identify(world, conn.identity.domid, None)
    if domain.introduced:
        world.notifier.domain_changed(RELEASE_DOMAIN, domid)


def _remove_owned(world: World, domid: DomId) -> None:
    """Remove each node of the domain with all below, parents first, in the order of the tree.

    The root stays, and is dom0's then.
    """
    walk = [ROOT]
    while walk and world.tree.owned(domid):
        at = walk.pop()
        node = world.tree.get(at)
        assert node is not None, f"{at} is listed and missing"
        if node.perms.owner == domid and at != ROOT:
            _remove(world, at)
            continue
        walk += (child(at, name) for name in reversed(node.child_names))
        if node.perms.owner == domid:
            perms = node.perms.owned_by(DOM0)
            world.tree.put(at, node.with_perms(perms, world.rules.stale_entries(node)))


def _remove(world: World, path: AbsolutePath) -> None:
    remove_subtree(world.direct, path)
    above = parent(path)
    directory = world.tree.get(above)
    assert directory is not None, f"{path} has no parent"
    smaller = directory.without_child(base_name(path))
    world.tree.put(above, smaller.with_ignored(world.rules.stale_entries(directory)))


def _strip(world: World, domid: DomId) -> None:
    """Take the domain's entries out of all permission lists; nobody is told."""
    for path, node in tuple(world.tree.items()):
        perms = node.perms.without(domid)
        if perms is not node.perms:
            world.tree.put(path, node.with_perms(perms, world.rules.stale_entries(node) - {domid}))


def _identify(world: World, domid: DomId, target: DomId | None) -> None:
    conn_id = world.by_domain.get(domid)
    if conn_id is not None:
        conn = world.connections[conn_id]
        conn.identity = replace(conn.identity, target=target)
