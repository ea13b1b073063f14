import json
from collections import Counter

from flashsale_cli.load.plan import JSON_TYPE, RUBBISH, Crowd, Kind, plan

CROWD = Crowd(product_id="tele", buyers=1000, prefix="run", replays=0.1, over_limit=0.05, rubbish=0.02, seed=3)


def test_shares_become_counts() -> None:
    counts = Counter(click.kind for click in plan(CROWD))
    assert counts == {Kind.ORDER: 980, Kind.RETRY: 100, Kind.GREEDY: 100, Kind.RUBBISH: 20}


def test_seed_decides_the_requests_and_their_order() -> None:
    other = Crowd(product_id="tele", buyers=1000, prefix="run", replays=0.1, over_limit=0.05, rubbish=0.02, seed=4)
    assert plan(CROWD) == plan(CROWD)
    assert plan(CROWD) != plan(other)


def test_retry_equals_its_order_byte_for_byte() -> None:
    clicks = plan(CROWD)
    orders = {click.request_id: click.body for click in clicks if click.kind is Kind.ORDER}
    assert all(orders[click.request_id] == click.body for click in clicks if click.kind is Kind.RETRY)


def test_greedy_buyer_sends_different_requests_as_the_same_user() -> None:
    clicks = plan(CROWD)
    greedy = {click.user_id for click in clicks if click.kind is Kind.GREEDY}
    requests = Counter(click.user_id for click in clicks if click.user_id in greedy)
    assert set(requests.values()) == {3}
    assert len({click.request_id for click in clicks if click.user_id in greedy}) == 3 * len(greedy)


def test_requests_of_a_plain_crowd_are_valid_and_unique() -> None:
    clicks = plan(Crowd(product_id="tele", buyers=50, prefix="run", quantity=2))
    bodies = [json.loads(click.body) for click in clicks]
    assert {body["quantity"] for body in bodies} == {2}
    assert len({(body["userId"], body["requestId"]) for body in bodies}) == 50
    assert {click.content_type for click in clicks} == {JSON_TYPE}


def test_every_kind_of_rubbish_is_sent() -> None:
    clicks = plan(Crowd(product_id="tele", buyers=len(RUBBISH), prefix="run", rubbish=1.0))
    assert len({(click.body.replace(click.user_id.encode(), b""), click.content_type) for click in clicks}) == len(RUBBISH)
