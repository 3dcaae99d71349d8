"""Log files that stay in memory."""


class KeptLog:
    """Keeps what is written; nothing can be opened below /missing, nor written when `full`."""

    def __init__(self) -> None:
        self.files: dict[str, list[str]] = {}
        self.said: list[str] = []
        self.full = False
        self._last: str | None = None
        self._open: str | None = None

    def open(self, path: str | None) -> bool:
        """Write to this file from now on, None: to the one before; whether it is open."""
        self._last = path or self._last
        self._open = None if (self._last or "/missing").startswith("/missing") else self._last
        return self._open is not None

    def close(self) -> None:
        """Write no more."""
        self._open = None

    def write(self, line: str) -> bool:
        """Add a line; whether it could be written."""
        if self._open is None or self.full:
            return False
        self.files.setdefault(self._open, []).append(line)
        return True

    def append(self, path: str | None, text: str) -> bool:
        """Add a text to this file, None: to that of the log; whether it could be written."""
        target = path or self._last
        if target is None or target.startswith("/missing"):
            return False
        self.files.setdefault(target, []).append(text)
        return True

    def say(self, text: str) -> None:
        """Tell the operator."""
        self.said.append(text)
