"""HMAC-SHA-256 (RFC 2104) of many short messages with one key. Pure.

Two begun hashes are copied for each message. That takes half the time of copying an `hmac.HMAC`, and a gateway does it for each order.
"""

from collections.abc import Callable
from hashlib import sha256

BLOCK_BYTES = 64
"""SHA-256's, "B" in RFC 2104."""
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def mac_with(key: bytes) -> Callable[[bytes], bytes]:
    """A function from a message to its MAC of 32 bytes."""
    block = (sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
    begin_inner, begin_outer = sha256(block.translate(_INNER)).copy, sha256(block.translate(_OUTER)).copy

    def mac(message: bytes) -> bytes:
        inner = begin_inner()
        inner.update(message)
        outer = begin_outer()
        outer.update(inner.digest())
        return outer.digest()

    return mac
