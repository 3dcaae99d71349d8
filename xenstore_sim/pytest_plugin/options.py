"""Settings of a daemon from the words of a test suite."""

from collections.abc import Mapping
from typing import Final

from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.expiry import WATCH_TIMEOUT_S
from xenstore_sim.store.faults import FaultPlan, FaultPlanError
from xenstore_sim.store.quotas import BOUND_MAX, QUOTA_NAMES, Quotas
from xenstore_sim.wire.compat import COMPAT_4_20, RELEASES

NAMES: Final = ("compat", "quotas", "faults", "watch_timeout_s")


class OptionError(Exception):
    """An option that makes no sense."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(field, value, rule)
        self.field = field
        self.value = value
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.field}={self.value!r}: {self.rule}"


def settings(
    *,
    compat: str | None = None,
    quotas: Mapping[str, int] | None = None,
    faults: FaultPlan | str | None = None,
    watch_timeout_s: float = WATCH_TIMEOUT_S,
    seed: int = 0,
) -> Settings:
    """The settings these options name.

    compat: a release, as in "4.17". quotas: by their names in `xenstore-control quota`, 0 for no
    bound. faults: see FaultPlan. seed: of faults that have none. Raises: OptionError.
    """
    release = COMPAT_4_20.name if compat is None else compat
    if release not in RELEASES:
        raise OptionError("compat", compat, f"the releases are {', '.join(RELEASES)}")
    if not isinstance(watch_timeout_s, (int, float)) or not watch_timeout_s >= 0:
        raise OptionError("watch_timeout_s", watch_timeout_s, "seconds, 0 for no bound")
    return Settings(
        compat=RELEASES[release],
        quotas=_quotas(quotas or {}),
        watch_timeout_s=watch_timeout_s,
        faults=fault_plan(faults, seed),
    )


def fault_plan(faults: FaultPlan | str | None, seed: int) -> FaultPlan | None:
    """The plan, or the one that the text writes; with this seed unless it has its own.

    Raises: OptionError.
    """
    try:
        plan = FaultPlan.parse(faults) if isinstance(faults, str) else faults
    except FaultPlanError as error:
        raise OptionError("faults", faults, f"{error.field}={error.value}: {error.rule}") from error
    if not isinstance(plan, FaultPlan | None):
        raise OptionError("faults", plan, 'a FaultPlan, or a text such as "eagain=0.3"')
    return None if plan is None else plan.seeded(seed)


def _quotas(given: Mapping[str, int]) -> Quotas:
    if not isinstance(given, Mapping):
        raise OptionError("quotas", given, 'a dict such as {"nodes": 10}')
    quotas = Quotas()
    for name, bound in given.items():
        if name not in QUOTA_NAMES:
            raise OptionError("quotas", name, f"there are {', '.join(QUOTA_NAMES)}")
        if not isinstance(bound, int) or not 0 <= bound <= BOUND_MAX:
            remedy = f"a number, 0 for no bound, {BOUND_MAX} at most"
            raise OptionError(f"quotas[{name!r}]", bound, remedy)
        quotas = quotas.with_quota(name, bound)
    return quotas
