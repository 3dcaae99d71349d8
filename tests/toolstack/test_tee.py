from __future__ import annotations

from handoff.descriptor import Role
from handoff.errors import GuestTimeout
from tests.builders import poisoned_guest
from tests.toolstack.fakes import Recorder
from tests.toolstack.scripted_device_model import REPORT
from toolstack.progress import Progress
from toolstack.tee import Tee


def test_every_listener_hears_every_word() -> None:
    one, two = Recorder(), Recorder()
    tee: Progress = Tee((one, two))
    error = GuestTimeout("it hangs")
    with poisoned_guest() as guest:
        offer = guest.descriptor([guest.stage(Role.KERNEL, b"content", 0x200000)])
    tee.stage("toolstack", "created", "detail")
    tee.loading(Role.KERNEL, 1, 2)
    tee.published(offer, b"frame")
    tee.placed(REPORT, ())
    tee.warning("mind")
    tee.log("machine", "line")
    tee.failed(error)
    for heard in (one, two):
        assert heard.stages == [("toolstack", "created")]
        assert heard.details == ["detail"]
        assert heard.loads == [(Role.KERNEL, 1, 2)]
        assert heard.offers == [(offer, b"frame")]
        assert heard.reports == [REPORT]
        assert heard.warnings == ["mind"]
        assert heard.lines == [("machine", "line")]
        assert heard.failures == [error]
