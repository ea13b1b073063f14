"""Statements in a file of their own have the name above each."""

from flashsale_core.named_queries import named_queries


def test_statement_has_the_name_above_it() -> None:
    text = "-- A file.\n\n-- name: first\nselect 1;\n\n-- name: second\n-- A note.\nselect '-- name: none'\n"
    assert named_queries(text) == {"first": "select 1;\n\n", "second": "-- A note.\nselect '-- name: none'\n"}
