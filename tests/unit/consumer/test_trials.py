"""Which messages are handled alone, and what a note remembers of those that ended the process."""

from pathlib import Path
from typing import Any

import pytest

from flashsale_consumer.deliveries import Delivery
from flashsale_consumer.trials import NOTES_MAX, SUSPICIOUS_DELIVERIES, Trials, is_suspicious, parts

KILLER, OTHER = Delivery(b"killer", "1-0", True), Delivery(b"other", "2-0", True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"x-delivery-count": SUSPICIOUS_DELIVERIES - 1}, False),
        ({"x-delivery-count": SUSPICIOUS_DELIVERIES}, True),
        # RabbitMQ 4.3 counts apart what failed and what was only given out.
        ({"x-delivery-count": 1, "x-acquired-count": SUSPICIOUS_DELIVERIES}, True),
        ({"x-delivery-count": "many"}, False),
    ],
)
def test_a_message_is_suspicious_by_what_the_broker_counts(headers: dict[str, Any], expected: bool) -> None:
    assert is_suspicious(headers) is expected


def test_suspicious_messages_stand_alone_and_all_keep_their_order() -> None:
    batch = [("a", False), ("b", False), ("c", True), ("d", True), ("e", False)]
    assert list(parts(batch)) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert list(parts([("a", True)])) == [["a"]]


def test_a_death_is_remembered_by_the_next_process_and_survives_other_messages(tmp_path: Path) -> None:
    file = tmp_path / "note"
    Trials(file).begin(KILLER)
    second = Trials(file)
    assert (second.deaths(KILLER), second.deaths(OTHER)) == (1, 0)
    second.begin(OTHER)
    second.end()
    second.begin(KILLER)
    assert Trials(file).deaths(KILLER) == 2


def test_what_the_process_survives_is_no_death_and_leaves_no_note(tmp_path: Path) -> None:
    file = tmp_path / "note"
    trials = Trials(file)
    trials.begin(KILLER)
    trials.end()
    assert (Trials(file).deaths(KILLER), file.exists()) == (0, False)


def test_a_message_that_was_handled_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "note"
    Trials(file).begin(KILLER)
    trials = Trials(file)
    trials.forget(KILLER)
    assert (trials.deaths(KILLER), file.exists()) == (0, False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"current": null}', '{"current": null, "deaths": 5}'])
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "note"
    file.write_text(text)
    assert Trials(file).deaths(KILLER) == 0


def test_notes_are_bounded_and_a_folder_that_is_missing_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "note"
    for number in range(NOTES_MAX + 5):
        Trials(file).begin(Delivery(b"", str(number), True))
    trials = Trials(file)
    assert sum(trials.deaths(Delivery(b"", str(number), True)) for number in range(NOTES_MAX + 5)) == NOTES_MAX
    Trials(tmp_path / "nowhere" / "note").begin(KILLER)
