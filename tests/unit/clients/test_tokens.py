"""The Python signer: its tokens are those of the vectors, which the engine accepts."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale_client import sign_buyer_token
from flashsale_core.buyer_token import BuyerTokens
from flashsale_core.ids import USER_ID_PATTERN

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[3] / "clients" / "fsb1_vectors.json").read_text())
KEY = "a-key-of-thirty-two-characters-1"


@pytest.mark.parametrize("vector", VECTORS["signed"], ids=lambda vector: vector["user"][:40])
def test_vector_is_signed(vector: dict[str, Any]) -> None:
    assert sign_buyer_token(vector["key"], vector["user"], vector["expires"]) == vector["token"]


@given(st.from_regex(USER_ID_PATTERN), st.integers(1, 253_402_300_799))
def test_engine_accepts_what_is_signed(user: str, expires: int) -> None:
    assert BuyerTokens([KEY.encode()]).verify(sign_buyer_token(KEY, user, expires).encode(), expires - 1) == user


@pytest.mark.parametrize("user", ["", "a b", "#up", 'a"b', "ü", "a" * 256, "ann\n"])
def test_user_id_that_the_engine_would_refuse_is_not_signed(user: str) -> None:
    with pytest.raises(ValueError, match="user_id"):
        sign_buyer_token(KEY, user, 1)


@pytest.mark.parametrize("expires", [0, -1, 253_402_300_800])
def test_end_that_the_engine_would_refuse_is_not_signed(expires: int) -> None:
    with pytest.raises(ValueError, match="expires"):
        sign_buyer_token(KEY, "ann", expires)
