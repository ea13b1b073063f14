"""MACs are those of HMAC-SHA-256, whatever the lengths of key and message."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from flashsale_core.macs import BLOCK_BYTES, mac_with


@given(st.binary(max_size=3 * BLOCK_BYTES), st.lists(st.binary(max_size=3 * BLOCK_BYTES), min_size=2, max_size=3))
def test_mac_is_hmac_sha256_for_each_message(key: bytes, messages: list[bytes]) -> None:
    mac = mac_with(key)
    assert [mac(message) for message in messages] == [hmac.digest(key, message, "sha256") for message in messages]
