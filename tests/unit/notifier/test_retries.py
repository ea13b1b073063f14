from datetime import UTC, datetime

import pytest

from flashsale_notifier.retries import JITTER, RETRIES_SECONDS, DeliveryState, Verdict, judge, seconds_after

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def verdict(status: int | None, tries: int = 1, jitter: float = 0.0, retry_after: str = "") -> Verdict:
    return judge(status, retry_after, tries, jitter, NOW)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_is_sent(status: int) -> None:
    assert verdict(status) == Verdict(DeliveryState.SENT)


@pytest.mark.parametrize("status", [None, 301, 302, 307, 308, 400, 401, 404, 500, 502])
def test_everything_else_is_tried_again_on_schedule(status: int | None) -> None:
    delays = [verdict(status, tries).delay_seconds for tries in range(1, 10)]
    assert delays == [5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600] == list(RETRIES_SECONDS)
    assert verdict(status, 10).state is DeliveryState.FAILED


def test_jitter_only_lengthens_a_pause() -> None:
    assert verdict(500, 2, jitter=1.0).delay_seconds == 300 * (1 + JITTER)


def test_gone_ends_the_endpoint() -> None:
    assert verdict(410) == Verdict(DeliveryState.FAILED, is_gone=True)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_within_a_day(status: int) -> None:
    assert verdict(status, retry_after="120") == Verdict(DeliveryState.DUE, 120, pause_seconds=120)
    assert verdict(status, 2, retry_after="1") == Verdict(DeliveryState.DUE, 300, pause_seconds=1)
    assert verdict(status, retry_after="99999999999999").delay_seconds == 86_400
    assert verdict(status, retry_after="Fri, 01 May 2026 12:10:00 GMT").delay_seconds == 600


def test_retry_after_counts_only_where_it_is_defined() -> None:
    assert verdict(500, retry_after="120").delay_seconds == 5


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-5", "1.5", "Fri, 01 May 2020 12:10:00 GMT", "٣", "Fri, 99 May 2026 99:99:99 GMT", "1 May 99999999999999999999 12:10:00"],
)
def test_unreadable_or_past_retry_after_asks_for_no_wait(text: str) -> None:
    assert seconds_after(text, NOW) == 0
