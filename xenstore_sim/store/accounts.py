"""What each domain uses of what quotas bound, and the most it ever did."""

from collections.abc import Iterator, Mapping

from xenstore_sim.wire.names import DOM0, DomId


class Account:
    """One domain's."""

    __slots__ = ("above_soft", "bytes", "most", "nodes", "stalls", "warnings")

    def __init__(self) -> None:
        self.nodes = 0
        """In the store, owned by the domain."""
        self.bytes = 0
        """Of these nodes."""
        self.most: dict[str, int] = {}
        """By name of quota; those that were never used are missing."""
        self.above_soft = False
        """It is above its soft memory quota."""
        self.warnings = 0
        """How often it went there."""
        self.stalls = 0
        """How often nothing was read from it for want of memory."""

    def note(self, name: str, used: int) -> None:
        """The domain uses so much now."""
        if used > self.most.get(name, 0):
            self.most[name] = used


class Accounts:
    """Those of all domains that own nodes or are connected, dom0 too."""

    __slots__ = ("_accounts", "past")

    def __init__(self) -> None:
        self._accounts: dict[DomId, Account] = {}
        self.past: dict[str, int] = {}
        """The most that any domain used that is gone."""

    def of(self, domid: DomId) -> Account:
        """This domain's; opened if need be."""
        account = self._accounts.get(domid)
        if account is None:
            account = self._accounts[domid] = Account()
        return account

    def get(self, domid: DomId) -> Account | None:
        """This domain's, if it is open."""
        return self._accounts.get(domid)

    def close(self, domid: DomId) -> None:
        """The domain is gone, and owns nothing any more."""
        account = self._accounts.pop(domid, None)
        if account is not None:
            self.past = _greater(self.past, account.most)

    def most(self) -> Mapping[str, int]:
        """The most that any unprivileged domain ever used."""
        most = self.past
        for domid, account in self._accounts.items():
            if domid != DOM0:
                most = _greater(most, account.most)
        return most

    def forget_past(self) -> None:
        """Let domains that are gone count no more in `most`."""
        self.past = {}

    def __iter__(self) -> Iterator[tuple[DomId, Account]]:
        return iter(self._accounts.items())


def _greater(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {name: max(some.get(name, 0), others.get(name, 0)) for name in {*some, *others}}
