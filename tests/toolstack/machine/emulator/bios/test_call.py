"""Flags of a service go to the caller, through the stack."""

from tests.toolstack.machine.emulator.bios.calls import Caller
from toolstack.machine.emulator.bios.call import BiosCall


def test_only_the_named_flag_of_the_caller_changes() -> None:
    caller = Caller(flags=0x0202)
    caller.call(lambda call: call.fail(0x86))
    assert (caller.flags(), caller.get("ah")) == (0x0203, 0x86)
    caller.call(BiosCall.succeed)
    assert (caller.flags(), caller.get("ah")) == (0x0202, 0)
    caller.call(lambda call: call.set_zero(True))
    assert caller.flags() == 0x0242
