"""A small run of random conversations; `make conversations` plays 100,000."""

from pathlib import Path

from flashsale_local_stack import Stack
from tests.integration.conversations.run import Plan, run, stages

SEED = 13
CONVERSATIONS = 1000


def test_hostile_conversations_harm_no_honest_client_and_no_gateway(stack: Stack, tmp_path: Path) -> None:
    with stages(stack.env(), tmp_path) as (ours, plain):
        report = run(stack.env(), Plan(SEED, CONVERSATIONS), ours, plain)
    assert report.findings == []
    assert (report.played.total(), report.compared > 0, report.accepted != {}) == (CONVERSATIONS, True, True)
