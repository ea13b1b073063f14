"""How a crowd proves who buys: the gateway's own check accepts each genuine proof and refuses each imposture."""

import json
from collections import Counter
from pathlib import Path

import pytest

from flashsale_cli.commands.load import proof_of
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.load.plan import Crowd, Kind, plan
from flashsale_cli.load.proofs import Identity, buyer_token, impostures
from flashsale_core.buyer_token import EXPIRED, FORGED, BuyerTokens
from flashsale_core.errors import Rejected, SettingsError

NOW = 1_700_000_000
KEY = "k" * 32
OWN, STRANGER = BuyerTokens([KEY.encode()]), BuyerTokens([b"s" * 32])
CROWD = Crowd(
    product_id="tele",
    buyers=100,
    prefix="run",
    rubbish=0.1,
    impostors=8,
    proof=buyer_token(OWN, NOW),
    impostures=impostures(OWN, STRANGER, NOW),
)


def refusal(authorization: str, named: str) -> str:
    """Why the gateway refuses the request; empty if it does not."""
    try:
        user = OWN.verify(authorization.removeprefix("Bearer ").encode(), NOW)
    except Rejected as error:
        return error.reason
    return "" if user == named else "identity_mismatch"


def test_impostors_have_valid_bodies_and_all_wrong_proofs() -> None:
    clicks = [click for click in plan(CROWD) if click.kind is Kind.IMPOSTOR]
    reasons = Counter(refusal(click.authorization, json.loads(click.body)["userId"]) for click in clicks)
    assert reasons == {FORGED: 4, EXPIRED: 2, "identity_mismatch": 2}


def test_everybody_else_bears_a_genuine_token() -> None:
    clicks = [click for click in plan(CROWD) if click.kind is not Kind.IMPOSTOR]
    assert len(clicks) == 92
    assert {refusal(click.authorization, click.user_id) for click in clicks} == {""}


def test_identity_decides_the_proof(tmp_path: Path) -> None:
    environment = CliEnvironment(
        {"FLASHSALE_BUYER_TOKEN_KEY": f"{KEY} {'o' * 32}", "FLASHSALE_SERVICE_KEYS": f"shop:{'a' * 20},old:{'b' * 20}"}, tmp_path / "none"
    )
    assert proof_of(Identity.BODY, environment)("ann") == ""
    assert proof_of(Identity.SERVICE, environment)("ann") == f"Bearer {'a' * 20}"
    assert refusal(proof_of(Identity.TOKEN, environment)("ann"), "ann") == ""


@pytest.mark.parametrize(
    ("identity", "variable"), [(Identity.TOKEN, "FLASHSALE_BUYER_TOKEN_KEY"), (Identity.SERVICE, "FLASHSALE_SERVICE_KEYS")]
)
def test_missing_key_is_named(identity: Identity, variable: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=variable):
        proof_of(identity, CliEnvironment({}, tmp_path / "none"))
