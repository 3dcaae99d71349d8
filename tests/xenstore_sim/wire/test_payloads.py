"""Messages and their payloads: each form once in bytes, all of them there and back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.strategies import REPLIES, REQUESTS
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.compat import COMPAT_4_20, COMPAT_4_22, RELEASES, Compat
from xenstore_sim.wire.errors import ProtocolViolation, Refusal
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.payloads import (
    decode_error,
    decode_event,
    decode_reply,
    decode_request,
    encode_event,
    encode_reply,
    encode_request,
    perms_of,
)
from xenstore_sim.wire.perms import NodePerms

T = Token(b"tok")
REQUEST_BYTES = [
    (m.Read("/a"), b"/a\0"),
    (m.Directory("a"), b"a\0"),
    (m.GetPerms("@x"), b"@x\0"),
    (m.Mkdir("/a"), b"/a\0"),
    (m.Rm("/a"), b"/a\0"),
    (m.DirectoryPart("/a", 12), b"/a\x0012\0"),
    (m.Write("/a", b"v\0w"), b"/a\0v\0w"),
    (m.Write("/a", b""), b"/a\0"),
    (m.SetPerms("/a", ("n0", "r5")), b"/a\0n0\0r5\0"),
    (m.Watch("/a", T), b"/a\0tok\0"),
    (m.Watch("/a", T, 0), b"/a\0tok\x000\0"),
    (m.Unwatch("/a", Token(b"")), b"/a\0\0"),
    (m.TransactionEnd(commit=True), b"T\0"),
    (m.TransactionEnd(commit=False), b"F\0"),
    (m.Introduce(DomId(5), 77, 9), b"5\x0077\x009\0"),
    (m.Release(DomId(5)), b"5\0"),
    (m.Resume(DomId(5)), b"5\0"),
    (m.GetDomainPath(DomId(5)), b"5\0"),
    (m.IsDomainIntroduced(DomId(5)), b"5\0"),
    (m.SetTarget(DomId(5), DomId(6)), b"5\x006\0"),
    (m.Control(("quota", "set")), b"quota\0set\0"),
    (m.GetFeature(), b""),
    (m.GetFeature(DomId(5)), b"5\0"),
    (m.SetFeature(DomId(5), 2), b"5\x002\0"),
    (m.GetQuota(), b""),
    (m.GetQuota(None, "nodes"), b"nodes\0"),
    (m.GetQuota(DomId(5), "nodes"), b"5\0nodes\0"),
    (m.SetQuota(None, "nodes", 3), b"nodes\x003\0"),
    (m.SetQuota(DomId(5), "nodes", 3), b"5\0nodes\x003\0"),
]
REPLY_BYTES = [
    (Op.WRITE, m.Ok(), b"OK\0"),
    (Op.READ, m.Value(b"raw"), b"raw"),
    (Op.DIRECTORY, m.Listing(b"a\0bc\0"), b"a\0bc\0"),
    (Op.DIRECTORY_PART, m.ListingPart("7", b"a\0", last=False), b"7\0a\0"),
    (Op.DIRECTORY_PART, m.ListingPart("7", b"a\0", last=True), b"7\0a\0\0"),
    (Op.DIRECTORY_PART, m.ListingPart("7", b"", last=True), b"7\0\0"),
    (Op.GET_PERMS, m.PermsReply(NodePerms.of("n0", "r5")), b"n0\0r5\0"),
    (Op.TRANSACTION_START, m.Text("12"), b"12\0"),
    (Op.GET_DOMAIN_PATH, m.Text("/local/domain/1"), b"/local/domain/1\0"),
]


@pytest.mark.parametrize(("request_", "payload"), REQUEST_BYTES)
def test_golden_requests(request_: m.Request, payload: bytes) -> None:
    assert encode_request(request_) == payload
    assert decode_request(request_.op, payload, COMPAT_4_22) == request_


@pytest.mark.parametrize(("op", "reply", "payload"), REPLY_BYTES)
def test_golden_replies(op: Op, reply: m.Reply, payload: bytes) -> None:
    assert encode_reply(reply) == payload
    assert decode_reply(op, payload) == reply


@given(REQUESTS)
def test_a_request_comes_back_as_it_went(request_: m.Request) -> None:
    assert decode_request(request_.op, encode_request(request_), COMPAT_4_22) == request_


@given(REPLIES)
def test_a_reply_comes_back_as_it_went(exchange: tuple[Op, m.Reply]) -> None:
    op, reply = exchange
    assert decode_reply(op, encode_reply(reply)) == reply


@pytest.mark.parametrize("errno", list(Errno))
def test_an_error_is_its_name(errno: Errno) -> None:
    assert encode_reply(m.ErrorReply(errno)) == errno.name.encode() + b"\0"
    assert decode_error(encode_reply(m.ErrorReply(errno))) == m.ErrorReply(errno)


def test_an_unknown_error_is_taken_for_einval() -> None:
    assert decode_error(b"EQUOTA\0") == m.ErrorReply(Errno.EINVAL)


def test_an_event_is_its_path_and_token() -> None:
    payload = encode_event(m.WatchEvent("/a", T))
    assert payload == b"/a\0tok\0"
    assert decode_event(payload) == m.WatchEvent("/a", T)


@pytest.mark.parametrize("payload", [b"", b"/a", b"/a\0", b"/a\0tok"])
def test_an_event_needs_both_its_strings(payload: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="watch event"):
        decode_event(payload)


ONE_STRING = (Op.READ, Op.DIRECTORY, Op.GET_PERMS, Op.MKDIR, Op.RM, Op.GET_DOMAIN_PATH, Op.RELEASE)


@pytest.mark.parametrize("op", ONE_STRING)
@pytest.mark.parametrize("payload", [b"", b"1", b"1\x002", b"1\x002\0", b"1\0\0"])
def test_one_string_means_one_nul_at_the_end(op: Op, payload: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decode_request(op, payload, COMPAT_4_20)
    assert refused.value.errno is Errno.EINVAL


MALFORMED = [
    (Op.WRITE, b"", COMPAT_4_20),
    (Op.WRITE, b"/a", COMPAT_4_20),
    (Op.WATCH, b"/a\0tok", COMPAT_4_20),
    (Op.WATCH, b"/a\0tok\x001\0", COMPAT_4_20),
    (Op.WATCH, b"/a\0tok\x001\x002\0", COMPAT_4_22),
    (Op.WATCH, b"/a\0tok\0-1\0", COMPAT_4_22),
    (Op.UNWATCH, b"/a\0", COMPAT_4_20),
    (Op.UNWATCH, b"/a\0t\x000\0", COMPAT_4_22),
    (Op.DIRECTORY_PART, b"/a\0", COMPAT_4_20),
    (Op.DIRECTORY_PART, b"/a\x000\0x\0", COMPAT_4_20),
    (Op.SET_PERMS, b"", COMPAT_4_20),
    (Op.SET_PERMS, b"/a\0", COMPAT_4_20),
    (Op.SET_PERMS, b"/a\0n0", COMPAT_4_20),
    (Op.TRANSACTION_END, b"", COMPAT_4_20),
    (Op.TRANSACTION_END, b"T", COMPAT_4_20),
    (Op.TRANSACTION_END, b"T\0\0", COMPAT_4_20),
    (Op.TRANSACTION_END, b"t\0", COMPAT_4_20),
    (Op.INTRODUCE, b"1\x001\0", COMPAT_4_20),
    (Op.SET_TARGET, b"1\0", COMPAT_4_20),
    (Op.CONTROL, b"", COMPAT_4_20),
    (Op.CONTROL, b"check", COMPAT_4_20),
    (Op.RELEASE, b"x\0", COMPAT_4_22),
    (Op.RELEASE, b"-1\0", COMPAT_4_22),
    (Op.RELEASE, b"65536\0", COMPAT_4_22),
    (Op.RELEASE, b"5 \0", COMPAT_4_22),
    (Op.RELEASE, "\u00b2\0".encode("latin-1"), COMPAT_4_22),
    (Op.SET_FEATURE, b"5\0", COMPAT_4_22),
    (Op.GET_QUOTA, b"nodes", COMPAT_4_22),
    (Op.GET_QUOTA, b"1\0nodes\x001\0", COMPAT_4_22),
    (Op.SET_QUOTA, b"nodes\0", COMPAT_4_22),
    (Op.SET_QUOTA, b"nodes\0many\0", COMPAT_4_22),
]


@pytest.mark.parametrize(("op", "payload", "compat"), MALFORMED)
def test_malformed_payloads_are_invalid(op: Op, payload: bytes, compat: Compat) -> None:
    with pytest.raises(Refusal) as refused:
        decode_request(op, payload, compat)
    assert refused.value.errno is Errno.EINVAL


LENIENT = [
    (Op.WATCH, b"/a\0tok\0rest", m.Watch("/a", T)),
    (Op.UNWATCH, b"/a\0tok\0rest", m.Unwatch("/a", T)),
    (Op.SET_PERMS, b"/a\0n0\0rest", m.SetPerms("/a", ("n0",))),
    (Op.SET_PERMS, b"/a\0\0", m.SetPerms("/a", ("",))),
    (Op.INTRODUCE, b"5\x001\x002\0more\0", m.Introduce(DomId(5), 1, 2)),
    (Op.SET_TARGET, b"5\x006\x007\0", m.SetTarget(DomId(5), DomId(6))),
    (Op.RELEASE, b"x\0", m.Release(DomId(0))),
    (Op.RELEASE, b"-1\0", m.Release(DomId(2**32 - 1))),
    (Op.TRANSACTION_START, b"anything", m.TransactionStart()),
    (Op.RESET_WATCHES, b"", m.ResetWatches()),
    (Op.CONTROL, b"\0", m.Control(("",))),
]


@pytest.mark.parametrize(("op", "payload", "request_"), LENIENT)
def test_what_older_releases_let_pass(op: Op, payload: bytes, request_: m.Request) -> None:
    assert decode_request(op, payload, COMPAT_4_20) == request_


@pytest.mark.parametrize(("text", "domid"), [(b"\0", 0), (b"007\0", 7), (b"65535\0", 65535)])
def test_strict_domids_are_decimal(text: bytes, domid: int) -> None:
    assert decode_request(Op.RELEASE, text, COMPAT_4_22) == m.Release(DomId(domid))


@given(
    st.sampled_from([op for op in Op if op not in (Op.WATCH_EVENT, Op.ERROR)]),
    st.binary(max_size=40) | st.lists(st.sampled_from([b"\0", b"/", b"1", b"n"])).map(b"".join),
    st.sampled_from(tuple(RELEASES.values())),
)
def test_any_payload_is_a_request_or_invalid(op: Op, payload: bytes, compat: Compat) -> None:
    with suppress(Refusal):
        assert decode_request(op, payload, compat).op is op


def test_permissions_take_c_numbers() -> None:
    assert perms_of(("n0x10", "r010", "b-1")) == NodePerms.of("n16", "r8", "b4294967295")


@pytest.mark.parametrize("entry", ["", "n", "x0", "n5x", "5", "N0"])
def test_permissions_need_a_letter_and_a_number(entry: str) -> None:
    with pytest.raises(Refusal):
        perms_of(("n0", entry))


@pytest.mark.parametrize(
    ("op", "payload"),
    [(Op.WRITE, b"KO\0"), (Op.GET_PERMS, b"what\0"), (Op.GET_PERMS, b""), (Op.DIRECTORY_PART, b"")],
)
def test_replies_that_no_daemon_gives_are_violations(op: Op, payload: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_reply(op, payload)
