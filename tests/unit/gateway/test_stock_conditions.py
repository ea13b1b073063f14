"""Conditions of a change of stock, as headers bring them."""

import pytest
from msgspec import UNSET

from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.stock_conditions import Condition, etag, read_condition


@pytest.mark.parametrize("tag", ['"5"', "5", ' "5" ', 'W/"5"', etag(5), etag(5, b"{}"), f"W/{etag(5, b'{}')}"])
def test_tag_of_any_form_names_the_generation(tag: str) -> None:
    assert read_condition([tag], None, "r").fields(is_needed=False) == {"if_generation": 5, "request_id": "r"}


def test_star_needs_a_sale_that_exists() -> None:
    condition = read_condition([" * "], None, "r")
    assert condition.fields(is_needed=False) == {"if_exists": True, "request_id": "r"}
    assert read_condition([], None, UNSET) == Condition()


@pytest.mark.parametrize("tags", [[""], ['"5", "6"'], ['"5"', '"6"'], ['"5"', "*"], ["5-"], ['"5-x"'], ['"five"'], ["-1"]])
def test_condition_that_cannot_be_read_is_refused(tags: list[str]) -> None:
    with pytest.raises(Problem) as refused:
        read_condition(tags, None, UNSET)
    assert (refused.value.code, refused.value.document["field"]) == ("bad_request", "If-Match")


def test_documents_that_differ_have_tags_that_differ() -> None:
    tags = [etag(5, b'{"available":2}'), etag(5, b'{"available":1}'), etag(6, b'{"available":1}'), etag(5)]
    assert len(set(tags)) == len(tags)
