"""A small run of the random conversations; `make conversations` plays 100,000."""

from pathlib import Path

from flashsale_local_stack import Stack
from tests.integration.conversations.run import Plan, run, stages

SEED = 13
CONVERSATIONS = 1000


def test_random_conversations_leave_honest_clients_and_the_gateway_unharmed(stack: Stack, tmp_path: Path) -> None:
    with stages(stack.env(), tmp_path) as (ours, own):
        report = run(stack.env(), Plan(SEED, CONVERSATIONS), ours, own)
    assert report.findings == []
    assert (report.played.total(), report.compared > 0, report.accepted != {}) == (CONVERSATIONS, True, True)
