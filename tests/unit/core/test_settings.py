from pathlib import Path

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment


def test_set_variables_are_read_and_empty_ones_fall_back(tmp_path: Path) -> None:
    env = Environment({"A": "x", "N": "7", "F": "0.5", "L": "1,2", "B": "False", "D": str(tmp_path), "E": ""})
    read = (env.text("A"), env.text("E", "d"), env.integer("N", 1), env.integer("E", 3), env.number("F", 1.0), env.integers("L", (9,)))
    assert read == ("x", "d", 7, 3, 0.5, (1, 2))
    assert (env.flag("B", default=True), env.flag("E", default=True), env.integers("E", (9,)), env.directory("D", "x")) == (
        False,
        True,
        (9,),
        tmp_path,
    )


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda env: env.text("V"), ""),
        (lambda env: env.integer("V", 1), "1.5"),
        (lambda env: env.integer("V", 1, least=1, most=9), "10"),
        (lambda env: env.number("V", 1.0), "fast"),
        (lambda env: env.number("V", 1.0), "nan"),
        (lambda env: env.integers("V", ()), "1,,2"),
        (lambda env: env.integers("V", ()), "0"),
        (lambda env: env.flag("V", default=True), "yes"),
        (lambda env: env.directory("V", "x"), "/nowhere"),
    ],
)
def test_error_names_the_variable(read: object, value: str) -> None:
    with pytest.raises(SettingsError, match="V "):
        read(Environment({"V": value}))  # type: ignore[operator]


def test_log_level_must_exist() -> None:
    assert (
        Environment({}).log_level("FLASHSALE_LOG_LEVEL"),
        Environment({"FLASHSALE_LOG_LEVEL": "debug"}).log_level("FLASHSALE_LOG_LEVEL"),
    ) == ("INFO", "DEBUG")
    with pytest.raises(SettingsError, match="FLASHSALE_LOG_LEVEL"):
        Environment({"FLASHSALE_LOG_LEVEL": "chatty"}).log_level("FLASHSALE_LOG_LEVEL")
