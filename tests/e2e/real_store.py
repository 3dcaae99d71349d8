"""Debian's real xenstored with the run directory of a simulator around it: domains' rings are
handed out at sockets of their own, as a hypervisor would give them to whoever runs a domain."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.oracle.real_xenstored import RealXenstored


@contextmanager
def run_directory(real: RealXenstored, ports: Sequence[tuple[int, int]]) -> Iterator[Path]:
    """The run directory of `real`, with a ring for each of these domids and ports.

    The domains exist; INTRODUCE is the toolstack's. A ring is handed out as long as this lasts.
    """
    rings = real.directory / "ring"
    rings.mkdir()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        wake, woken = socket.socketpair()
        selector.register(stack.enter_context(woken), selectors.EVENT_READ)
        stack.enter_context(wake)
        for domid, port in ports:
            real.create_domain(domid)
            ring = real.ring(domid, port)
            page = os.open(ring.page_path, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, page)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(str(rings / str(domid)))
            listener.listen()
            doorbell = ring.doorbell.fileno()
            selector.register(listener, selectors.EVENT_READ, (page, doorbell, doorbell))
        thread = threading.Thread(target=_hand_out, args=(selector, stack))
        thread.start()
        try:
            yield real.directory
        finally:
            wake.close()
            thread.join(10)
            assert not thread.is_alive()


def _hand_out(selector: selectors.BaseSelector, stack: ExitStack) -> None:
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            assert isinstance(key.fileobj, socket.socket)
            control = stack.enter_context(key.fileobj.accept()[0])
            socket.send_fds(control, [b"\1"], key.data)
