"""A made-up toolstack script: gives a guest a network interface, and waits until it is connected.

    python vif_hotplug.py DOMID INDEX MAC

It knows xenstore by the daemon's socket alone (XENSTORED_PATH), as any script does.
"""

import os
import socket
import struct
import sys

READ, WATCH, START, END, WRITE, EVENT, ERROR = 2, 4, 6, 7, 11, 15, 16
ATTEMPTS = 100


class Refused(Exception):
    """The daemon said no; the text is the name of the error."""


class Xenstore:
    """The few operations that this script needs."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(path)
        self._events: list[str] = []

    def __enter__(self) -> "Xenstore":
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def ask(self, kind: int, *texts: str, tx: int = 0, value: str = "") -> str:
        payload = b"".join(text.encode() + b"\0" for text in texts) + value.encode()
        self._socket.sendall(struct.pack("<4I", kind, 1, tx, len(payload)) + payload)
        while True:
            found, answer = self._receive()
            if found == EVENT:
                self._events.append(answer.split("\0")[0])
            elif found == ERROR:
                raise Refused(answer.rstrip("\0"))
            else:
                return answer.rstrip("\0")

    def wait(self) -> str:
        """The path of the next event."""
        while not self._events:
            self._events.append(self._receive()[1].split("\0")[0])
        return self._events.pop(0)

    def _receive(self) -> tuple[int, str]:
        kind, _, _, size = struct.unpack("<4I", self._exactly(16))
        return kind, self._exactly(size).decode()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the xenstore daemon closed the connection")
            data += more
        return data


def plug(store: Xenstore, domid: str, index: str, mac: str) -> None:
    """Write both halves of the device in one transaction; again when others were in the way."""
    front = f"/local/domain/{domid}/device/vif/{index}"
    back = f"/local/domain/0/backend/vif/{domid}/{index}"
    for _ in range(ATTEMPTS):
        tx = int(store.ask(START, ""))
        store.ask(WRITE, f"{front}/mac", tx=tx, value=mac)
        store.ask(WRITE, f"{front}/backend", tx=tx, value=back)
        store.ask(WRITE, f"{back}/frontend", tx=tx, value=front)
        store.ask(WRITE, f"{back}/state", tx=tx, value="1")
        try:
            store.ask(END, "T", tx=tx)
            return
        except Refused as refused:
            if str(refused) != "EAGAIN":
                raise
    raise Refused(f"EAGAIN, {ATTEMPTS} times")


def wait_until_connected(store: Xenstore, domid: str, index: str) -> None:
    """Return when the backend says so. An event is a reason to look, not a promise of news."""
    state = f"/local/domain/0/backend/vif/{domid}/{index}/state"
    store.ask(WATCH, state, "state")
    while store.ask(READ, state) != "4":
        store.wait()


def main() -> None:
    domid, index, mac = sys.argv[1:]
    with Xenstore(os.environ["XENSTORED_PATH"]) as store:
        plug(store, domid, index, mac)
        print("plugged", flush=True)
        wait_until_connected(store, domid, index)
        print("connected")


if __name__ == "__main__":
    main()
