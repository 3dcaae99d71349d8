"""Attempts on other domains through xenstored."""

from __future__ import annotations

from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.position import Position
from toolstack.isolation.promises import Beyond, Promise
from toolstack.isolation.voice import Refused
from xenstore_sim.wire.ops import Op

_EVENT_S = 0.3
"""The bystander changes its node many times in this."""
_ELSEWHERE = "isolation-attempt"


def _secret(position: Position) -> str:
    return f"{position.around.bystander_home}/data/secret"


def read_anothers_node(position: Position) -> str:
    found = position.xenstore.ask(Op.READ, _secret(position)).decode("latin-1")
    return "read the secret" if position.around.secret in found else "read something"


def read_it_in_a_transaction(position: Position) -> str:
    voice = position.xenstore
    tx = int(voice.ask(Op.TRANSACTION_START, "").rstrip(b"\0"))
    try:
        voice.ask(Op.READ, _secret(position), tx=tx)
    finally:
        voice.ask(Op.TRANSACTION_END, "F", tx=tx)
    return "read"


def list_anothers_nodes(position: Position) -> str:
    names = position.xenstore.ask(Op.DIRECTORY, f"{position.around.bystander_home}/data")
    return f"{names.count(0)} names"


def read_anothers_permissions(position: Position) -> str:
    return position.xenstore.ask(Op.GET_PERMS, _secret(position)).decode("latin-1")[:20]


def write_anothers_node(position: Position) -> str:
    node = f"{position.around.bystander_home}/data/scratch"
    position.xenstore.ask(Op.WRITE, node, value=b"was here")
    return "written"


def make_a_node_below_anothers(position: Position) -> str:
    node = f"{position.around.bystander_home}/data/{_ELSEWHERE}"
    position.xenstore.ask(Op.MKDIR, node)
    position.xenstore.ask(Op.RM, node)
    return "made and removed"


def remove_anothers_node(position: Position) -> str:
    position.xenstore.ask(Op.RM, f"{position.around.bystander_home}/data/spare")
    return "removed"


def open_anothers_node_to_itself(position: Position) -> str:
    around = position.around
    node = f"{around.bystander_home}/data/scratch"
    perms = (f"n{around.bystander}", f"b{around.stubdom}")
    position.xenstore.ask(Op.SET_PERMS, node, *perms)
    position.xenstore.ask(Op.SET_PERMS, node, perms[0])
    return "opened and closed"


def watch_anothers_node(position: Position) -> str:
    voice, node = position.xenstore, f"{position.around.bystander_home}/data/beat"
    voice.ask(Op.WATCH, node, "isolation")
    try:
        voice.event(_EVENT_S)  # the first comes at once, whatever there is
        if voice.event(_EVENT_S) is None:
            raise Stopped("no event")
    finally:
        voice.ask(Op.UNWATCH, node, "isolation")
    return "told of its changes"


def watch_everything(position: Position) -> str:
    voice = position.xenstore
    voice.ask(Op.WATCH, "/", "isolation")
    try:
        voice.event(_EVENT_S)
        event = voice.event(_EVENT_S)
        if event is None or position.around.bystander_home.encode() not in event:
            raise Stopped("no event of another domain")
    finally:
        voice.ask(Op.UNWATCH, "/", "isolation")
    return "told of another's changes"


def take_anothers_watch(position: Position) -> str:
    node = f"{position.around.bystander_home}/data/watched"
    position.xenstore.ask(Op.UNWATCH, node, "bystander")
    return "taken away"


def end_anothers_transaction(position: Position) -> str:
    # Ids are small numbers, and the bystander always has one open.
    for tx in range(1, 200):
        try:
            position.xenstore.ask(Op.TRANSACTION_END, "F", tx=tx)
        except Refused as refused:
            if refused.errno != "ENOENT":
                raise
        else:
            return f"ended {tx}"
    raise Stopped("ENOENT")


def list_the_toolstacks_nodes(position: Position) -> str:
    return f"{position.xenstore.ask(Op.DIRECTORY, '/libxl').count(0)} names"


def rewrite_its_arguments(position: Position) -> str:
    node = f"/local/domain/{position.around.stubdom}/target"
    position.xenstore.ask(Op.WRITE, node, value=str(position.around.target).encode())
    return "written as it was"


def forge_set_target(position: Position) -> str:
    around = position.around
    # What would be gained is the bystander; a trial run only repeats what holds already.
    target = around.target if position.sacrificial else around.bystander
    position.xenstore.ask(Op.SET_TARGET, str(around.stubdom), str(target))
    return f"rules domain {target}"


def forge_introduce(position: Position) -> str:
    around = position.around
    position.xenstore.ask(Op.INTRODUCE, str(around.unborn), "1", "1")
    position.xenstore.ask(Op.RELEASE, str(around.unborn))
    return "a domain that is none"


def forge_release(position: Position) -> str:
    around = position.around
    if not position.sacrificial:
        position.xenstore.ask(Op.RELEASE, str(around.bystander))
        return "the bystander is gone"
    position.xenstore.ask(Op.INTRODUCE, str(around.unborn), "1", "1")
    position.xenstore.ask(Op.RELEASE, str(around.unborn))
    return "a sacrificed domain is gone"


def forge_resume(position: Position) -> str:
    position.xenstore.ask(Op.RESUME, str(position.around.bystander))
    return "done"


def command_the_daemon(position: Position) -> str:
    return position.xenstore.ask(Op.CONTROL, "help").decode("latin-1")[:20].strip()


def write_its_targets_node(position: Position) -> str:
    node = f"/local/domain/{position.around.target}/data/{_ELSEWHERE}"
    position.xenstore.ask(Op.WRITE, node, value=b"from its device model")
    position.xenstore.ask(Op.RM, node)
    return "written and removed"


def answer_for_its_target(position: Position) -> str:
    around = position.around
    node = f"/local/domain/{around.stubdom}/device-model/{around.target}/isolation"
    position.xenstore.ask(Op.WRITE, node, value=b"x")
    position.xenstore.ask(Op.RM, node)
    return "written and removed"


_NODES, _DOMAINS, _TARGET = Promise.OTHER_NODES, Promise.OTHER_DOMAINS, Promise.TARGET
_PERMISSIONS, _PRIVILEGED = Beyond.PERMISSIONS, Beyond.PRIVILEGED

ATTEMPTS = (
    Attempt("read another's node", _NODES, _PERMISSIONS, read_anothers_node),
    Attempt("read it in a transaction", _NODES, _PERMISSIONS, read_it_in_a_transaction),
    Attempt("list another's nodes", _NODES, _PERMISSIONS, list_anothers_nodes),
    Attempt("read another's permissions", _NODES, _PERMISSIONS, read_anothers_permissions),
    Attempt("write another's node", _NODES, _PERMISSIONS, write_anothers_node),
    Attempt("make a node below another's", _NODES, _PERMISSIONS, make_a_node_below_anothers),
    Attempt("remove another's node", _NODES, _PERMISSIONS, remove_anothers_node),
    Attempt("open another's node to itself", _NODES, _PERMISSIONS, open_anothers_node_to_itself),
    Attempt("watch another's node", _NODES, _PERMISSIONS, watch_anothers_node),
    Attempt("watch everything", _NODES, _PERMISSIONS, watch_everything),
    Attempt(
        "take another's watch",
        _NODES,
        Beyond.OWN_CONNECTION,
        take_anothers_watch,
        unproven="UNWATCH names a watch of the same connection, whoever asks",
    ),
    Attempt(
        "end another's transaction",
        _NODES,
        Beyond.OWN_CONNECTION,
        end_anothers_transaction,
        unproven="a transaction id means one of the same connection, whoever asks",
    ),
    Attempt("list the toolstack's nodes", _NODES, _PERMISSIONS, list_the_toolstacks_nodes),
    Attempt("choose its own target", _NODES, _PERMISSIONS, rewrite_its_arguments),
    Attempt("forge SET_TARGET", _DOMAINS, _PRIVILEGED, forge_set_target),
    Attempt("forge INTRODUCE", _DOMAINS, _PRIVILEGED, forge_introduce),
    Attempt("forge RELEASE", _DOMAINS, _PRIVILEGED, forge_release),
    Attempt("forge RESUME", _DOMAINS, _PRIVILEGED, forge_resume),
    Attempt("command xenstored (CONTROL)", _DOMAINS, _PRIVILEGED, command_the_daemon),
    Attempt("write its target's node", _TARGET, None, write_its_targets_node),
    Attempt("write its answers", _TARGET, None, answer_for_its_target),
)
