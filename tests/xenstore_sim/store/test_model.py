"""The store against a dict: any program of requests, some of them in transactions, gives the
answers of a plain table, and a transaction that goes through could have run at its end."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.xenstore_sim.conversations import NO_TX, Stage, readable
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.names import ROOT, AbsolutePath, absolute_path, base_name, parent
from xenstore_sim.wire.ops import Errno
from xenstore_sim.wire.payloads import encode_reply

NAMES = st.sampled_from("abc")
PATHS = st.lists(NAMES, max_size=3).map(lambda names: absolute_path("/" + "/".join(names)))
VALUES = st.sampled_from([b"", b"1", b"2"])
SLOTS = st.integers(0, 1)
REQUESTS = st.one_of(
    st.builds(m.Read, PATHS),
    st.builds(m.Directory, PATHS),
    st.builds(m.Mkdir, PATHS),
    st.builds(m.Rm, PATHS),
    st.builds(m.Write, PATHS, VALUES),
)
NodeRequest = m.Read | m.Directory | m.Mkdir | m.Rm | m.Write


@dataclass
class Model:
    """Values by path, in the order of making; nothing else."""

    values: dict[AbsolutePath, bytes] = field(
        default_factory=lambda: {ROOT: b"", absolute_path("/tool"): b""}
    )

    def answer(self, request: NodeRequest) -> m.Reply:
        path = absolute_path(request.path)
        match request:
            case m.Write(_, value):
                self.make(path)
                self.values[path] = value
                return m.Ok()
            case m.Mkdir():
                self.make(path)
                return m.Ok()
            case m.Rm():
                return self.remove(path)
        if path not in self.values:
            return m.ErrorReply(Errno.ENOENT)
        if isinstance(request, m.Read):
            return m.Value(self.values[path])
        names = (base_name(at) for at in self.values if at != ROOT and parent(at) == path)
        return m.Listing("".join(f"{name}\0" for name in names).encode())

    def make(self, path: AbsolutePath) -> None:
        if path not in self.values:
            self.make(parent(path))
            self.values[path] = b""

    def remove(self, path: AbsolutePath) -> m.Reply:
        if path == ROOT:
            return m.ErrorReply(Errno.EINVAL)
        if path not in self.values:
            return m.Ok() if parent(path) in self.values else m.ErrorReply(Errno.ENOENT)
        for at in [at for at in self.values if at == path or at.startswith(f"{path}/")]:
            del self.values[at]
        return m.Ok()


class StoreAgainstModel(RuleBasedStateMachine):
    """One connection outside transactions, one with two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.model = Model()
        self.transactions: dict[int, list[tuple[NodeRequest, bytes]]] = {}
        self.inside = self.stage.connect()
        self.stage.send(self.stage.dom0, NO_TX, m.Rm("/tool/xenstored"))

    @rule(request=REQUESTS)
    def ask(self, request: NodeRequest) -> None:
        assert self.stage.ask(self.stage.dom0, NO_TX, request) == encode_reply(
            self.model.answer(request)
        )

    @rule()
    def start(self) -> None:
        if len(self.transactions) < 2:
            reply = self.stage.ask(self.inside, NO_TX, m.TransactionStart())
            self.transactions[int(reply[:-1])] = []

    @rule(request=REQUESTS, slot=SLOTS)
    def ask_inside(self, request: NodeRequest, slot: int) -> None:
        if slot < len(self.transactions):
            tx = list(self.transactions)[slot]
            reply = self.stage.ask(self.inside, tx, request)
            self.transactions[tx].append((request, reply))

    @rule(slot=SLOTS, commit=st.booleans())
    def end(self, slot: int, commit: bool) -> None:
        if slot >= len(self.transactions):
            return
        tx = list(self.transactions)[slot]
        requests = self.transactions.pop(tx)
        reply = self.stage.ask(self.inside, tx, m.TransactionEnd(commit))
        assert reply in (b"OK\0", b"EAGAIN\0")
        assert commit or reply == b"OK\0"
        if commit and reply == b"OK\0":
            for request, answered in requests:
                assert encode_reply(self.model.answer(request)) == answered

    @invariant()
    def the_store_is_sound(self) -> None:
        output = self.stage.send(self.stage.dom0, NO_TX, m.Control(("check",)))
        assert "OK" in readable(output)[0]

    def teardown(self) -> None:
        for path in self.model.values:
            found = self.stage.ask(self.stage.dom0, NO_TX, m.Read(path))
            assert found == self.model.values[path]
            self.ask(m.Directory(path))


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
