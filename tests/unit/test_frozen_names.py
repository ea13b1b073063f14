"""The outward names of the product, compared with the lists in tests/unit/frozen."""

import pytest

from tests.unit.frozen.bounds import bounds, in_chart
from tests.unit.frozen.collect import LISTS, names
from tests.unit.frozen.compare import COMMAND, differences, explain
from tests.unit.frozen.lists import FOLDER, read


@pytest.mark.parametrize("title", LISTS)
def test_outward_names_are_those_of_their_list(title: str) -> None:
    lines = differences(read(title), names(title))
    assert not lines, explain(title, lines)


def test_every_list_is_collected() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(LISTS)


def test_lists_are_sorted_and_name_everything_once() -> None:
    assert [title for title in LISTS if read(title) != sorted(set(read(title)))] == []


def test_renamed_metric_is_one_missing_and_one_new_name() -> None:
    listed = read("metrics")
    renamed = [name.replace("flashsale_orders counter", "flashsale_order_count counter") for name in listed]
    assert differences(listed, renamed) == ["+ flashsale_order_count counter labels(outcome)", "- flashsale_orders counter labels(outcome)"]


def test_added_name_is_a_difference() -> None:
    assert differences(["a"], ["a", "b"]) == ["+ b"]


def test_failure_names_the_list_the_change_and_the_command() -> None:
    text = explain("redis", ["- key fs:waits"])
    assert "(redis)" in text
    assert "- key fs:waits" in text
    assert COMMAND in text


def test_chart_has_the_numbers_that_services_accept() -> None:
    assert in_chart() == bounds(), "run `python -m tests.unit.frozen.bounds`"
