"""A deadline that a test does not pass by missing it."""

from typing import Never

import trio


async def missed_after(seconds: float) -> Never:
    """Fail the test in whose nursery fixture this is started, once so much time is over.

    Not a deadline of that nursery's own scope: pytest-trio ends the test by it, and calls it
    passed. Raises: trio.TooSlowError.
    """
    with trio.fail_after(seconds):
        await trio.sleep_forever()
    raise AssertionError("nobody wakes who sleeps forever")
