"""Operations on domains: INTRODUCE, RELEASE, SET_TARGET and their kind, features, quotas.

Source: docs/misc/xenstore.txt; C xenstored for which error comes first.
"""

from xenstore_sim.store import lifecycle
from xenstore_sim.store.call import Call
from xenstore_sim.store.domains import FEATURES, Domain
from xenstore_sim.store.quotas import QUOTA_NAMES
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import DOM0, DomId, home
from xenstore_sim.wire.ops import Errno


def introduce(call: Call, request: m.Introduce) -> m.Reply:
    """INTRODUCE; the frame does not matter, real daemons map a grant reference instead."""
    if request.port <= 0:
        raise Refusal(Errno.EINVAL)
    lifecycle.introduce(call.world, request.domid)
    return m.Ok()


def release(call: Call, request: m.Release) -> m.Reply:
    """RELEASE."""
    lifecycle.release(call.world, _guest(call, request.domid))
    return m.Ok()


def resume(call: Call, request: m.Resume) -> m.Reply:
    """RESUME: the next shutdown will be told again."""
    _guest(call, request.domid).shutdown_reported = False
    return m.Ok()


def is_domain_introduced(call: Call, request: m.IsDomainIntroduced) -> m.Reply:
    """IS_DOMAIN_INTRODUCED."""
    return m.Text("T" if call.world.domains.is_introduced(request.domid) else "F")


def get_domain_path(call: Call, request: m.GetDomainPath) -> m.Reply:
    """GET_DOMAIN_PATH, of any domid."""
    return m.Text(home(request.domid))


def set_target(call: Call, request: m.SetTarget) -> m.Reply:
    """SET_TARGET; dom0 may do everything anyway, but holds its target as others do."""
    domain = None if request.domid == DOM0 else _introduced(call, request.domid)
    if request.target != DOM0:
        _introduced(call, request.target)
    if domain is None:
        call.world.domains.hold(DOM0, request.target)
    else:
        lifecycle.set_target(call.world, domain, request.target)
    return m.Ok()


def get_feature(call: Call, request: m.GetFeature) -> m.Reply:
    """GET_FEATURE: of another domain only for the privileged."""
    if request.domid is None:
        domain = call.world.domains.get(call.who.domid)
        return m.Text(str(FEATURES if domain is None else domain.features))
    if not call.who.privileged:
        raise Refusal(Errno.EACCES)
    return m.Text(str(_known(call, request.domid).features))


def set_feature(call: Call, request: m.SetFeature) -> m.Reply:
    """SET_FEATURE, before the domain is introduced."""
    domain = _known(call, request.domid)
    if domain.introduced:
        raise Refusal(Errno.EBUSY)
    if request.value & ~FEATURES:
        raise Refusal(Errno.EINVAL)
    domain.features = request.value
    return m.Ok()


def get_quota(call: Call, request: m.GetQuota) -> m.Reply:
    """GET_QUOTA."""
    if request.name is None:
        return m.Text(" ".join(QUOTA_NAMES))
    if request.name not in QUOTA_NAMES:
        raise Refusal(Errno.EINVAL)
    world = call.world
    quotas = world.quotas if request.domid is None else _known(call, request.domid).quotas
    return m.Text(str(quotas.quota(request.name)))


def set_quota(call: Call, request: m.SetQuota) -> m.Reply:
    """SET_QUOTA: the default concerns domains that become known later."""
    if request.name not in QUOTA_NAMES:
        raise Refusal(Errno.EINVAL)
    if request.domid is None:
        call.world.quotas = call.world.quotas.with_quota(request.name, request.value)
    else:
        domain = _known(call, request.domid)
        domain.quotas = domain.quotas.with_quota(request.name, request.value)
    return m.Ok()


def _guest(call: Call, domid: DomId) -> Domain:
    """An introduced domain, and not dom0, which stays. Raises: Refusal, EINVAL or ENOENT."""
    if domid == DOM0:
        raise Refusal(Errno.EINVAL)
    return _introduced(call, domid)


def _introduced(call: Call, domid: DomId) -> Domain:
    """An introduced domain. Raises: Refusal, ENOENT, or EINVAL when it is dead and only held."""
    domain = call.world.domains.introduced(domid)
    if domain is None:
        raise Refusal(Errno.ENOENT)
    if domain.dead:
        raise Refusal(Errno.EINVAL)
    return domain


def _known(call: Call, domid: DomId) -> Domain:
    """A domain the hypervisor has, known from now on. Raises: Refusal, ENOENT."""
    world = call.world
    domain = world.domains.know(domid, world.tree.generation, world.quotas)
    if domain is None:
        raise Refusal(Errno.ENOENT)
    return domain
