"""A process accepts no more connections than its limit of open files allows."""

import resource

import pytest

from flashsale_core.file_limit import fit_to_file_limit

RESERVED = 768
UNLIMITED = resource.RLIM_INFINITY
ENOUGH = 20_000 + RESERVED


@pytest.mark.parametrize(
    ("soft", "hard", "raised_to", "expected"),
    [
        (UNLIMITED, UNLIMITED, UNLIMITED, 20_000),
        (1024, UNLIMITED, ENOUGH, 20_000),
        (1024, 1_000_000, ENOUGH, 20_000),
        (30_000, 30_000, 30_000, 20_000),
        (1024, ENOUGH, ENOUGH, 20_000),
        (1024, 4096, 4096, 4096 - RESERVED),
        (100, 100, 100, 1),
    ],
)
def test_connections_fit_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, soft: int, hard: int, raised_to: int, expected: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    assert (fit_to_file_limit(20_000, RESERVED, "FLASHSALE_CONNECTIONS_MAX"), limits[-1]) == (expected, (raised_to, hard))
    logged = [(record.message, vars(record)["connections_max"]) for record in caplog.records]
    assert logged == ([("connections.limited", expected)] if expected < 20_000 else [])
