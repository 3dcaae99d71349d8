"""What a domain uses at this moment, by name of quota, and a report of it all."""

from collections.abc import Iterator, Mapping

from xenstore_sim.store.call import World
from xenstore_sim.store.memory import memory_of
from xenstore_sim.wire.names import DOM0, DomId


def usage_of(world: World, domid: DomId) -> dict[str, int]:
    """What the domain uses now; of quotas of a single request or node, nothing."""
    account, conn_id = world.accounts.get(domid), world.by_domain.get(domid)
    used = {"nodes": 0 if account is None else account.nodes, "memory": memory_of(world, domid)}
    if conn_id is not None:
        conn = world.connections[conn_id]
        used["watches"] = world.watches.count(conn_id)
        used["outstanding"] = conn.outbox.outstanding
        used["transactions"] = len(conn.transactions)
    return used


def most_of(world: World, domid: DomId) -> Mapping[str, int]:
    """The most that the domain ever used."""
    account = world.accounts.get(domid)
    return _greater({} if account is None else account.most, usage_of(world, domid))


def most_of_all(world: World) -> Mapping[str, int]:
    """The most that any unprivileged domain ever used."""
    most = world.accounts.most()
    for domid, _ in world.accounts:
        if domid != DOM0:
            most = _greater(most, usage_of(world, domid))
    return most


def forget_most(world: World) -> None:
    """Let what is used now be the most that ever was."""
    world.accounts.forget_past()
    for domid, account in world.accounts:
        account.most = usage_of(world, domid)


def report(world: World) -> str:
    """A table for people: what each domain has, in bytes where it says so."""
    return "\n".join(("xenstore memory", *_rows(world), "", ""))


def _rows(world: World) -> Iterator[str]:
    form = "{:>8} {:>8} {:>12} {:>8} {:>12} {:>12} {:>12} {:>12}"
    yield form.format(
        *("domain", "client", "node bytes", "watches"),
        *("watch bytes", "transactions", "tx bytes", "output bytes"),
    )
    for domid, account in sorted(world.accounts, key=lambda each: each[0]):
        yield form.format(domid, "-", account.bytes, "", "", "", "", "")
    for conn in world.connections.values():
        yield form.format(
            *(conn.identity.domid, conn.id, "", world.watches.count(conn.id)),
            *(world.watches.size(conn.id), len(conn.transactions), conn.transactions.size),
            conn.outbox.waiting,
        )


def _greater(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {name: max(some.get(name, 0), others.get(name, 0)) for name in {*some, *others}}
