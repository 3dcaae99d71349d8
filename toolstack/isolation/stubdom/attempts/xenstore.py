"""Attempts on other domains through xenstored."""

from __future__ import annotations

import time
from collections.abc import Callable

from toolstack.isolation.attempt import Stopped
from toolstack.isolation.promises import Promise
from toolstack.isolation.stubdom.attempt import DOMAINS, Attempt, Claim, Group
from toolstack.isolation.stubdom.hands import Hands
from toolstack.isolation.stubdom.order import WORDS, Whom
from xenstore_sim.wire.ops import Op

_POLL_S = 0.05


def _data(hands: Hands, whom: Whom, name: str) -> str:
    return f"{hands.home(whom)}/data/{name}"


def read_a_node(hands: Hands, whom: Whom) -> str:
    found = hands.xenstore.ask(Op.READ, _data(hands, whom, "secret")).decode("latin-1")
    return "read the secret" if found == hands.order.secret else "read something"


def list_nodes(hands: Hands, whom: Whom) -> str:
    return f"{hands.xenstore.ask(Op.DIRECTORY, f'{hands.home(whom)}/data').count(0)} names"


def read_permissions(hands: Hands, whom: Whom) -> str:
    perms = hands.xenstore.ask(Op.GET_PERMS, _data(hands, whom, "secret"))
    return perms.rstrip(b"\0").replace(b"\0", b",").decode("latin-1")[:20]


def write_a_node(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.WRITE, _data(hands, whom, "scratch"), value=WORDS)
    return "written"


def make_a_node(hands: Hands, whom: Whom) -> str:
    node = _data(hands, whom, "isolation-attempt")
    hands.xenstore.ask(Op.MKDIR, node)
    hands.xenstore.ask(Op.RM, node)
    return "made, removed"


def remove_a_node(hands: Hands, whom: Whom) -> str:
    node = _data(hands, whom, "spare")
    hands.xenstore.ask(Op.RM, node)
    # The next one that tries finds it again.
    hands.xenstore.ask(Op.WRITE, node, value=b"again")
    return "removed"


def open_a_node_to_itself(hands: Hands, whom: Whom) -> str:
    node, domid = _data(hands, whom, "scratch"), hands.domid(whom)
    hands.xenstore.ask(Op.SET_PERMS, node, f"n{domid}", f"b{hands.stubdom}")
    hands.xenstore.ask(Op.SET_PERMS, node, f"n{domid}")
    return "opened, closed"


def watch_nodes(hands: Hands, whom: Whom) -> str:
    node = _data(hands, whom, "beat")
    # The first event comes at once, whatever there is.
    if len([event for event in _events(hands, node) if event == node]) < 2:
        raise Stopped("no event")
    return "told of changes"


def watch_everything(hands: Hands, whom: Whom) -> str:
    if not any(event.startswith(f"{hands.home(whom)}/") for event in _events(hands, "/")):
        raise Stopped("no event")
    return "told of changes"


def _events(hands: Hands, watched: str) -> list[str]:
    """The paths of what is told while each domain's node is written at least once."""
    voice, told = hands.xenstore, []
    voice.ask(Op.WATCH, watched, "isolation")
    try:
        first = _turn(hands)
        while _turn(hands) < first + 2:
            time.sleep(_POLL_S)
        while (event := voice.event(0)) is not None:
            told.append(event.partition(b"\0")[0].decode("latin-1"))
    finally:
        voice.ask(Op.UNWATCH, watched, "isolation")
    return told


def _turn(hands: Hands) -> int:
    """How often the nodes were written: each turn that of dom0, the target's, the bystander's."""
    return int(hands.xenstore.ask(Op.READ, _data(hands, Whom.TARGET, "beat")))


def list_the_toolstacks_nodes(hands: Hands, whom: Whom) -> str:
    return f"{hands.xenstore.ask(Op.DIRECTORY, '/libxl').count(0)} names"


def command_xenstored(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.CONTROL, "help")
    return "done"


def write_hvmloaders_node(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.WRITE, f"{hands.home(whom)}/hvmloader/bios", value=b"seabios")
    return "written"


def _offer(hands: Hands, whom: Whom) -> str:
    """What the toolstack tells a device model of the images of `whom`."""
    if whom is Whom.TARGET:
        return f"/local/domain/{hands.stubdom}/direct-boot/state"
    return f"/local/domain/0/direct-boot/{hands.domid(whom)}/direct-boot/state"


def read_its_offer(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.READ, _offer(hands, whom))
    return "read"


def write_its_offer(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.WRITE, _offer(hands, whom), value=b"1 published")
    return "written"


def announce_as_its_target(hands: Hands, whom: Whom) -> str:
    node = f"/local/domain/{hands.stubdom}/target"
    hands.xenstore.ask(Op.WRITE, node, value=str(hands.domid(whom)).encode())
    if hands.control:
        hands.xenstore.ask(Op.WRITE, node, value=str(hands.order.target).encode())
    return "announced"


def forge_set_target(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.SET_TARGET, str(hands.stubdom), str(hands.domid(whom)))
    return "rules it"


def forge_resume(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.RESUME, str(hands.domid(whom)))
    return "done"


def forge_release(hands: Hands, whom: Whom) -> str:
    hands.xenstore.ask(Op.RELEASE, str(hands.domid(whom)))
    return "gone"


def forge_introduce(hands: Hands, whom: Whom) -> str:
    frame, port = hands.order.store
    hands.xenstore.ask(Op.INTRODUCE, str(hands.domid(whom)), str(frame), str(port))
    return "introduced"


def _attempt(
    name: str,
    make: Callable[[Hands, Whom], str],
    target: Claim = Claim.FORBIDDEN,
    simulated: tuple[str | None, str | None] = (None, None),
    of: tuple[Whom, ...] = DOMAINS,
) -> Attempt:
    return Attempt(name, Group.XENSTORE, Promise.OTHER_NODES, make, target, simulated, of)


def _forged(name: str, make: Callable[[Hands, Whom], str]) -> Attempt:
    return Attempt(name, Group.XENSTORE, Promise.OTHER_DOMAINS, make, simulated=(name, name))


_RIGHT, _OPEN = Claim.RIGHT, Claim.OPEN
_WRITE = "write its target's node"
_EVERYTHING = "watch everything"
_LIST = "list the toolstack's nodes"
_CHOOSE = "choose its own target"
_CONTROL = "command xenstored (CONTROL)"
_OF_BYSTANDER, _OF_DOM0 = (Whom.BYSTANDER,), (Whom.DOM0,)

ATTEMPTS = (
    _attempt("read a node", read_a_node, _RIGHT, (None, "read another's node")),
    _attempt("list nodes", list_nodes, _OPEN, (None, "list another's nodes")),
    _attempt("read permissions", read_permissions, _OPEN, (None, "read another's permissions")),
    _attempt("write a node", write_a_node, _RIGHT, (_WRITE, "write another's node")),
    _attempt("create a node", make_a_node, _OPEN, (_WRITE, "make a node below another's")),
    _attempt("remove a node", remove_a_node, _OPEN, (_WRITE, "remove another's node")),
    _attempt(
        "open a node to itself",
        open_a_node_to_itself,
        _OPEN,
        (None, "open another's node to itself"),
    ),
    _attempt("watch a node", watch_nodes, _OPEN, (None, "watch another's node")),
    _attempt(_EVERYTHING, watch_everything, simulated=(None, _EVERYTHING), of=_OF_BYSTANDER),
    _attempt("list libxl's nodes", list_the_toolstacks_nodes, simulated=(None, _LIST), of=_OF_DOM0),
    _attempt("write hvmloader/bios", write_hvmloaders_node),
    _attempt("read its offer", read_its_offer, _RIGHT),
    _attempt("write its offer", write_its_offer),
    _attempt("announce it as target", announce_as_its_target, simulated=(_CHOOSE, _CHOOSE)),
    _forged("forge SET_TARGET", forge_set_target),
    _forged("forge RESUME", forge_resume),
    _forged("forge RELEASE", forge_release),
    _forged("forge INTRODUCE", forge_introduce),
    Attempt(
        "command xenstored",
        Group.XENSTORE,
        Promise.OTHER_DOMAINS,
        command_xenstored,
        simulated=(None, _CONTROL),
        of=_OF_DOM0,
    ),
)
