"""Which messages are handled alone, and how a note names those that crashed the process."""

from pathlib import Path
from typing import Any

import pytest

from flashsale_consumer.deliveries import Delivery
from flashsale_consumer.suspicious import NOTES_MAX, SUSPICIOUS_DELIVERIES, CrashNotes, is_suspicious, split_suspicious

KILLER, OTHER = Delivery(b"killer", "1-0", True), Delivery(b"other", "2-0", True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"x-delivery-count": SUSPICIOUS_DELIVERIES - 1}, False),
        ({"x-delivery-count": SUSPICIOUS_DELIVERIES}, True),
        # RabbitMQ 4.3 counts failed deliveries and all deliveries separately.
        ({"x-delivery-count": 1, "x-acquired-count": SUSPICIOUS_DELIVERIES}, True),
        ({"x-delivery-count": "many"}, False),
    ],
)
def test_message_is_suspicious_by_the_broker_counts(headers: dict[str, Any], expected: bool) -> None:
    assert is_suspicious(headers) is expected


def test_suspicious_messages_are_alone_and_the_order_stays() -> None:
    batch = [("a", False), ("b", False), ("c", True), ("d", True), ("e", False)]
    assert list(split_suspicious(batch)) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert list(split_suspicious([("a", True)])) == [["a"]]


def test_next_process_counts_a_crash_and_keeps_the_count(tmp_path: Path) -> None:
    file = tmp_path / "note"
    CrashNotes(file).begin(KILLER)
    second = CrashNotes(file)
    assert (second.crashes(KILLER), second.crashes(OTHER)) == (1, 0)
    second.begin(OTHER)
    second.end()
    second.begin(KILLER)
    assert CrashNotes(file).crashes(KILLER) == 2


def test_handling_that_ends_is_no_crash_and_leaves_no_note(tmp_path: Path) -> None:
    file = tmp_path / "note"
    notes = CrashNotes(file)
    notes.begin(KILLER)
    notes.end()
    assert (CrashNotes(file).crashes(KILLER), file.exists()) == (0, False)


def test_handled_message_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "note"
    CrashNotes(file).begin(KILLER)
    notes = CrashNotes(file)
    notes.forget(KILLER)
    assert (notes.crashes(KILLER), file.exists()) == (0, False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"current": null}', '{"current": null, "deaths": 5}'])
def test_unreadable_note_counts_no_crash(tmp_path: Path, text: str) -> None:
    file = tmp_path / "note"
    file.write_text(text)
    assert CrashNotes(file).crashes(KILLER) == 0


def test_notes_are_bounded_and_a_missing_folder_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "note"
    for number in range(NOTES_MAX + 5):
        CrashNotes(file).begin(Delivery(b"", str(number), True))
    notes = CrashNotes(file)
    assert sum(notes.crashes(Delivery(b"", str(number), True)) for number in range(NOTES_MAX + 5)) == NOTES_MAX
    CrashNotes(tmp_path / "nowhere" / "note").begin(KILLER)
