"""The reader against xl's own: Debian's libxlutil, called through ctypes.

Its settings are compared with ours for the recorded vectors and for texts made up here.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable
from ctypes.util import find_library
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolstack.config.test_parser import settings_of
from tests.toolstack.config.vectors import MEANT, SAME, Settings

NAMES = ("a", "b", "a.b", "c_1")
Reader = Callable[[str], "Settings | None"]


@pytest.fixture(scope="module")
def xl() -> Reader:
    """What libxlutil sets for the NAMES of a text, None where it refuses the text."""
    library = find_library("xlutil")
    if library is None:
        pytest.fail("libxlutil is not installed: run scripts/install-test-packages.sh")
    return _reader(ctypes.CDLL(library))


def _reader(xlutil: Any) -> Reader:
    libc: Any = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    libc.dup.restype = ctypes.c_int
    xlutil.xlu_cfg_init.restype = ctypes.c_void_p
    xlutil.xlu_cfg_get_listitem.restype = ctypes.c_char_p
    with tempfile.TemporaryFile() as sink:
        report = ctypes.c_void_p(libc.fdopen(libc.dup(sink.fileno()), b"w"))

    def decoded(value: bytes | None) -> str | None:
        return None if value is None else value.decode()

    def read(text: str) -> Settings | None:
        config = ctypes.c_void_p(xlutil.xlu_cfg_init(report, b"t.cfg"))
        data = text.encode()
        found: Settings | None = None
        if xlutil.xlu_cfg_readdata(config, data, len(data)) == 0:
            found = {}
            for name in NAMES:
                word, items, count = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_int()
                key = name.encode()
                if xlutil.xlu_cfg_get_string(config, key, ctypes.byref(word), 1) == 0:
                    found[name] = decoded(word.value) or ""
                elif (
                    xlutil.xlu_cfg_get_list(
                        config, key, ctypes.byref(items), ctypes.byref(count), 1
                    )
                    == 0
                ):
                    found[name] = [
                        decoded(xlutil.xlu_cfg_get_listitem(items, index))
                        for index in range(count.value)
                    ]
        xlutil.xlu_cfg_destroy(config)
        return found

    return read


@pytest.mark.parametrize(("text", "settings"), SAME)
def test_the_vectors_are_what_xl_says(xl: Reader, text: str, settings: Settings | None) -> None:
    assert xl(text) == settings


@pytest.mark.parametrize(("text", "said", "meant"), MEANT)
def test_the_differences_are_still_there(
    xl: Reader, text: str, said: Settings | None, meant: Settings
) -> None:
    assert xl(text) == said


WORDS = st.sampled_from(
    [
        *("a", "b", "a.b", "=", "+=", "[", "]", ",", ";", "\n", "#x\n", "# 'q' \"\n", " ", "\t"),
        *('"x"', "'y'", '"a\\"b"', "'\\n\\t\\\\'", "1", "0x1f", "010", "12ab", '"it\'s"', "'open"),
        *("A", "-", "(", '"\\q"', "a=1", "b=[1,2]", "a='z'\n", "a+='w'\n", "b+=[3]\n"),
    ]
)
STATEMENTS = st.builds(
    lambda name, operator, value, end: name + operator + value + end,
    st.sampled_from(["a", "b", "c_1"]),
    st.sampled_from(["=", "+=", " = "]),
    st.sampled_from(["'x'", '"y"', "5", "[1,'q']", "[]", "[\n]", "[[1],2,]"]),
    st.sampled_from(["\n", ";", "\n# c\n", " ; "]),
)


@given(st.lists(WORDS, max_size=9).map("".join) | st.lists(STATEMENTS, max_size=4).map("".join))
def test_any_text_sets_what_xl_takes_from_it(xl: Reader, text: str) -> None:
    whole = f"{text}\n"  # xl overlooks a single stray character at the very end
    ours = settings_of(whole)
    if ours is not None:
        # libxlutil can only be asked for a name; words that meet can make others.
        ours = {name: value for name, value in ours.items() if name in NAMES}
    assert ours == xl(whole)
