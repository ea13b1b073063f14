"""Buyer tokens: what is signed is accepted until it expires, and nothing else is."""

import base64
import hmac
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale_core.buyer_token import EXPIRED, FORGED, MALFORMED, BuyerTokens, keys_of
from flashsale_core.errors import Rejected, SettingsError
from flashsale_core.ids import USER_ID_PATTERN

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[3] / "clients" / "fsb1_vectors.json").read_text())
KEY = b"k" * 32
NOW = 1_800_000_000


@pytest.mark.parametrize("vector", VECTORS["signed"], ids=lambda vector: vector["user"][:40])
def test_vector_is_signed_and_verified(vector: dict[str, Any]) -> None:
    tokens = BuyerTokens([vector["key"].encode()])
    assert tokens.sign(vector["user"], vector["expires"]) == vector["token"]
    assert tokens.verify(vector["token"].encode(), vector["expires"] - 1) == vector["user"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
def test_vector_is_refused_with_its_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=vector["reason"]):
        BuyerTokens([vector["key"].encode()]).verify(vector["token"].encode(), vector["now"])


@given(st.from_regex(USER_ID_PATTERN), st.integers(1, 253_402_300_799))
def test_any_user_id_fits(user: str, expires: int) -> None:
    token = BuyerTokens([KEY]).sign(user, expires)
    assert BuyerTokens([KEY]).verify(token.encode(), expires - 1) == user
    assert set(token) <= set(base64.urlsafe_b64encode(b"").decode() + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


@pytest.mark.parametrize("user", ["", "~", "~4", "~zz", "a~4.", ".", "a.b", "a b", "a" * 256, "~20", "~00", "ä"])
def test_user_that_no_signer_should_write_is_refused_though_it_is_signed(user: str) -> None:
    signed = f"fsb1.{user}.{NOW + 60}"
    mac = base64.urlsafe_b64encode(hmac.digest(KEY, signed.encode(), "sha256")[:18]).decode()
    with pytest.raises(Rejected, match=MALFORMED):
        BuyerTokens([KEY]).verify(f"{signed}.{mac}".encode(), NOW)


@given(st.text(max_size=80))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Rejected, match=f"{MALFORMED}|{FORGED}"):
        BuyerTokens([KEY]).verify(text.encode("utf-8", "surrogatepass"), NOW)


def test_changed_character_anywhere_is_refused() -> None:
    token = BuyerTokens([KEY]).sign("auth0|65a1", NOW + 60)
    for place, character in enumerate(token):
        changed = token[:place] + ("0" if character != "0" else "1") + token[place + 1 :]
        with pytest.raises(Rejected, match=f"{MALFORMED}|{FORGED}"):
            BuyerTokens([KEY]).verify(changed.encode(), NOW)


@pytest.mark.parametrize("length", [32, 63, 64, 65, 200])
def test_mac_is_the_beginning_of_hmac_sha256_for_every_length_of_key(length: int) -> None:
    key = secrets.token_bytes(length)
    signed, _, mac = BuyerTokens([key]).sign("auth0|65a1", NOW).rpartition(".")
    assert base64.urlsafe_b64decode(mac) == hmac.digest(key, signed.encode(), "sha256")[:18]


def test_both_keys_are_accepted_while_they_rotate_and_the_first_signs() -> None:
    old, new = b"o" * 32, b"n" * 32
    rotating = BuyerTokens([new, old])
    assert rotating.verify(BuyerTokens([old]).sign("ann", NOW + 1).encode(), NOW) == "ann"
    assert BuyerTokens([new]).verify(rotating.sign("ann", NOW + 1).encode(), NOW) == "ann"
    with pytest.raises(Rejected, match=FORGED):
        BuyerTokens([new]).verify(BuyerTokens([old]).sign("ann", NOW + 1).encode(), NOW)


def test_token_is_refused_from_its_second_on() -> None:
    token = BuyerTokens([KEY]).sign("ann", NOW)
    assert BuyerTokens([KEY]).verify(token.encode(), NOW - 0.001) == "ann"
    with pytest.raises(Rejected, match=EXPIRED):
        BuyerTokens([KEY]).verify(token.encode(), NOW)


@pytest.mark.parametrize(("user", "expires"), [("", 1), ("a b", 1), ("#a", 1), ("ä", 1), ("a" * 256, 1), ("ann", 0), ("ann", 10**12)])
def test_nothing_is_signed_that_would_be_refused(user: str, expires: int) -> None:
    with pytest.raises(ValueError, match=r"user id|expires"):
        BuyerTokens([KEY]).sign(user, expires)


def test_keys_are_long_and_listed_with_a_blank_between() -> None:
    first, second = secrets.token_hex(32), secrets.token_hex(32)
    assert keys_of(f"{first} {second}", "FLASHSALE_BUYER_TOKEN_KEY") == (first.encode(), second.encode())
    for wrong in ("", "k" * 31, f"{first},{second}\n", f"{first} short"):
        with pytest.raises(SettingsError, match=r"FLASHSALE_BUYER_TOKEN_KEY .*openssl rand -hex 32"):
            keys_of(wrong, "FLASHSALE_BUYER_TOKEN_KEY")
