"""Loads what Python imports only when something goes wrong, while files can still be read."""

from __future__ import annotations

import importlib
import io
import traceback
import warnings

__all__ = ["preload_for_errors"]

# Text codecs by name; the two ends of every codec lookup are cached by the interpreter.
_CODECS = ("ascii", "latin-1", "utf-8", "unicode_escape", "raw_unicode_escape", "utf-16-le")

# What formatting an error, a warning or an exit reaches for lazily, by version of Python.
_MODULES = ("ast", "contextlib", "linecache", "locale", "textwrap", "tokenize", "unicodedata")


def preload_for_errors() -> None:
    """After this, formatting any exception needs no import; source lines are simply left out.

    The formatting is done once, not only imported: which modules it takes differs from one
    version of Python to the next.
    """
    for module in _MODULES:
        importlib.import_module(module)
    for codec in _CODECS:
        "".encode(codec)
    try:
        try:
            raise KeyError("absent")
        except KeyError as cause:
            raise ExceptionGroup("rehearsal", [OSError(1, "one"), ValueError("two")]) from cause
    except ExceptionGroup as group:
        traceback.print_exception(group, file=io.StringIO())
        str(OSError(2, "three", "file"))
    warnings.formatwarning("rehearsal", UserWarning, __file__, 1)
