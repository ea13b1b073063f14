import pytest

from tools.house.lines import search as lines_with_two_sentences
from tools.house.words import Finding, search


@pytest.mark.parametrize(
    "line",
    [
        "# The handoff publishes it.",
        "def give_back() -> None:",
        "Of a sale that is unknown every order is.",
        "It is one. Of these none is left.",
        "a line which is none",
        "orders/s beside bare Starlette",
        "It is deleted, too.",
        "opened anew",
        "for as many orders",
        "local came_home = 1",
    ],
)
def test_wrong_word_is_found(line: str) -> None:
    assert [finding.line for finding in search("lua/x.lua", f"\n{line}\n")] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "Of course it does.",
        "0 when there is none",
        "none is left: value is None",
        "The URL is none of ours.",
        "twice as many",
        "besides, it is too late",
        'log.warning("handoff.left", extra={})',
        "| `flashsale_outbox_rescued_total` | counter |",
        "the end of a sale",
    ],
)
def test_right_and_outward_words_pass(line: str) -> None:
    assert list(search("docs/x.md", line)) == []


def test_glossary_may_name_wrong_words() -> None:
    assert list(search("docs/README.md", "| outbox | streams | handoff |")) == []


def test_empty_names_are_found_where_they_are_bound() -> None:
    source = "def f(one: int) -> None:\n    found = [one for one in range(3)]\n    print(found)\n"
    assert [(finding.line, finding.word) for finding in search("x.py", source)] == [(1, "one"), (2, "found"), (2, "one")]


def test_finding_says_where_what_and_what_instead() -> None:
    assert list(search("README.md", "opened anew")) == [Finding("README.md", 1, "anew", "again")]


def test_lines_with_two_sentences_are_found_outside_tables_lists_and_code() -> None:
    left_out = "| One. Two. |\n- One. Two.\n```\nOne. Two.\n```\nSee `a. B`, e.g. Redis 7.0 or No. 5.\nIt ends here (as said).\n"
    text = f"One. Two.\n{left_out}Is it? Yes.\n"
    assert list(lines_with_two_sentences(text)) == [1, 9]
