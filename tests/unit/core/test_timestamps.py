from datetime import UTC, datetime

import pytest

from flashsale_core.timestamps import rfc3339, rfc3339_of_ms, to_ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_700_000_000_123, "2023-11-14T22:13:20.123Z"), (32_503_679_999_999, "2999-12-31T23:59:59.999Z")],
)
def test_milliseconds_are_written_as_rfc_3339(ms: int, text: str) -> None:
    assert rfc3339_of_ms(ms) == text
    assert to_ms(datetime.fromisoformat(text)) == ms


def test_finer_parts_are_cut_off() -> None:
    moment = datetime(2023, 11, 14, 22, 13, 20, 999_999, tzinfo=UTC)
    assert (rfc3339(moment), rfc3339(moment, "seconds")) == ("2023-11-14T22:13:20.999Z", "2023-11-14T22:13:20Z")
