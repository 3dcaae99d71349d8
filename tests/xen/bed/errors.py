"""Why a bed cannot be built or cannot start: always with what to do about it."""

from __future__ import annotations


class BedError(Exception):
    """The bed cannot be built, does not start or does not answer."""
