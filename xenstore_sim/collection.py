"""Python's search for cycles, put off while a large store is made or read and nobody is served."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Search for none while the block runs: it would look at all that was made, again and again,
    and take a third of the time."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()
