from __future__ import annotations

from handoff.errors import ConfigError
from toolstack.config.errors import ConfigWarning, SettingRefused, SyntaxRefused, Where, shown

WHERE = Where("guest.cfg", 3, 7)


def test_a_refusal_is_one_line_with_place_key_value_problem_and_remedy() -> None:
    refused = SettingRefused(WHERE, "memory", "1", "is too small", "give it more")
    assert str(refused) == 'guest.cfg:3:7: memory="1": is too small: give it more'


def test_what_did_not_come_from_a_file_has_no_place() -> None:
    assert str(SettingRefused(None, "name", None, "is missing", "add it")) == (
        "name: is missing: add it"
    )
    assert str(ConfigWarning(None, "text")) == "text"
    assert str(ConfigWarning(WHERE, "text")) == "guest.cfg:3:7: text"


def test_all_refusals_end_a_program_with_the_configuration_code() -> None:
    for refused in (SyntaxRefused(WHERE, "x", "y"), SettingRefused(None, "a", None, "b", "c")):
        assert isinstance(refused, ConfigError)
        assert refused.line() == f"config: {refused}"
        assert refused.exit_code == ConfigError.exit_code


def test_a_value_is_shown_short_and_printable() -> None:
    assert shown("a\nb") == '"a?b"'
    assert shown("x" * 100) == '"' + "x" * 57 + '..."'
