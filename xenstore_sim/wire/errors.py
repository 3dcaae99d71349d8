"""What can go wrong between a xenstore client and its daemon; says whose fault it is."""

from xenstore_sim.wire.ops import Errno, Op


class XenstoreError(Exception):
    """The root of the family."""


class RequestRefused(XenstoreError):
    """The daemon answered ERROR; the connection lives on."""

    def __init__(self, errno: Errno, op: Op, path: str) -> None:
        super().__init__(errno, op, path)
        self.errno = errno
        self.op = op
        self.path = path
        """The path of the request; for requests without one, its first argument or nothing."""

    def __str__(self) -> str:
        return f"xenstore refused {self.op.name} {self.path or '(no path)'}: {self.errno}"


class TransactionConflict(XenstoreError):
    """Every try of a transaction ended with EAGAIN: others kept changing what it had read."""

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts

    def __str__(self) -> str:
        return (
            f"a xenstore transaction met a conflict in each of its {self.attempts} attempts:"
            " touch fewer nodes in it or allow more attempts"
        )


class ProtocolViolation(XenstoreError):
    """The peer sent what no xenstore peer may send; the connection is dead."""


class Disconnected(XenstoreError):
    """The connection ended; what was still unanswered may or may not have been done."""


class EventsLost(XenstoreError):
    """A watch's buffer was full when an event came: its reader must look at everything again."""

    def __init__(self, path: str, bound: int) -> None:
        super().__init__(path, bound)
        self.path = path
        self.bound = bound

    def __str__(self) -> str:
        return (
            f"the watch on {self.path} had {self.bound} unread events, its bound, and lost more:"
            " read all nodes below it again, and read events faster or raise the bound"
        )


class InvalidPath(XenstoreError):
    """A text that cannot be a xenstore path."""

    def __init__(self, text: str, rule: str) -> None:
        super().__init__(text, rule)
        self.text = text
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.text!r} is not a xenstore path: {self.rule}"


class InvalidText(XenstoreError):
    """A path, token or argument that would not arrive as what it is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.text!r} cannot be sent to a xenstore: leave out NUL and all above U+00FF"


class InvalidPerms(XenstoreError):
    """A text that cannot be a permission list."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.text!r} is not a permission list: write n0 or n0,r5 (letters n r w b)"


class Refusal(XenstoreError):
    """Inside a daemon: the request ends here, answered with this error."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno)
        self.errno = errno
