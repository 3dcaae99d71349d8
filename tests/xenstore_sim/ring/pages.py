"""Pages in plain memory, and what their fields hold."""

from xenstore_sim.ring.page import PAGE_SIZE, Field, RingPage


def fresh() -> RingPage:
    """A page of zeros."""
    return RingPage(memoryview(bytearray(PAGE_SIZE)))


def begun(index: int) -> RingPage:
    """A page whose queues are empty and have been used before: all four indexes stand there."""
    page = fresh()
    for field in (Field.REQ_CONS, Field.REQ_PROD, Field.RSP_CONS, Field.RSP_PROD):
        page.fields[field] = index
    return page


def fields(page: RingPage) -> str:
    """The eight fields in hex, four bytes each, as they lie in memory."""
    return page.fields[Field.REQ_CONS : Field.EVTCHN_PORT + 1].tobytes().hex(" ", 4)
