"""What a request's handler works with: the daemon's parts, and who asks."""

from dataclasses import dataclass

from xenstore_sim.store.access import AccessRules, Identity
from xenstore_sim.store.accounts import Accounts
from xenstore_sim.store.commands import Command
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.counters import Counters
from xenstore_sim.store.domains import Domains
from xenstore_sim.store.live_update import LiveUpdate
from xenstore_sim.store.log import Log
from xenstore_sim.store.notifier import Notifier
from xenstore_sim.store.quotas import QuotaRules, Quotas
from xenstore_sim.store.transactions import Transaction
from xenstore_sim.store.tree import Tree
from xenstore_sim.store.view import DirectView, View
from xenstore_sim.store.watches import ConnId, Watches
from xenstore_sim.wire.compat import Compat
from xenstore_sim.wire.errors import InvalidPath, Refusal
from xenstore_sim.wire.messages import WatchEvent
from xenstore_sim.wire.names import (
    AbsolutePath,
    DomId,
    NodePath,
    ReqId,
    TxId,
    quota_length,
    resolve,
)
from xenstore_sim.wire.ops import Errno


class Deferred(Exception):
    """The reply comes later; until then no other request of the client is handled."""


@dataclass(slots=True)
class World:
    """The state of a daemon, all of it."""

    compat: Compat
    quotas: Quotas
    """Of domains that have none of their own."""
    quota_rules: QuotaRules
    accounts: Accounts
    tree: Tree
    domains: Domains
    rules: AccessRules
    watches: Watches
    connections: dict[ConnId, Connection]
    by_domain: dict[DomId, ConnId]
    """The connection of each domain that has one."""
    counters: Counters
    log: Log
    notifier: Notifier
    direct: DirectView
    live_update: LiveUpdate
    commands: list[Command]
    """For the shell; the daemon hands them over when a request is done."""

    def quotas_of(self, domid: DomId) -> Quotas:
        """The bounds that hold for this domain."""
        domain = self.domains.get(domid) if self.compat.domain_quotas else None
        return self.quotas if domain is None else domain.quotas


@dataclass(slots=True)
class Call:
    """One request being handled."""

    world: World
    conn: Connection
    tx_id: TxId
    req_id: ReqId
    transaction: Transaction | None
    """The live one that the request names; for ops that care."""
    view: View
    first_event: WatchEvent | None = None
    """To be sent right after the reply; WATCH sets it."""

    @property
    def who(self) -> Identity:
        """Who asks."""
        return self.conn.identity

    @property
    def quotas(self) -> Quotas:
        """Bounds of the asking domain; they hold unless it is privileged."""
        return self.world.quotas_of(self.who.domid)

    def path(self, text: str) -> AbsolutePath:
        """The node that the client means. Raises: Refusal, EINVAL; special nodes too."""
        path = self.any_path(text)
        if path.startswith("@"):
            raise Refusal(Errno.EINVAL)
        return AbsolutePath(path)

    def any_path(self, text: str) -> NodePath:
        """The node or special node that the client means. Raises: Refusal, EINVAL."""
        try:
            path = resolve(text, self.who.domid)
        except InvalidPath as error:
            raise Refusal(Errno.EINVAL) from error
        if self.is_too_long(path):
            raise Refusal(Errno.EINVAL)
        return path

    def is_too_long(self, path: NodePath) -> bool:
        """Whether the path quota forbids this client this path."""
        privileged = self.conn.identity.privileged
        if privileged and not self.world.compat.path_quota_for_all:
            return False
        if privileged and len(path) < self.world.quotas.path_max:
            return False
        length = quota_length(path)
        if not privileged:
            self.conn.account.note("path-max", length)
        return self.world.quota_rules.too_many(length, self.quotas.path_max)
