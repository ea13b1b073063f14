"""The header in which a proxy names the buyer. It counts only if the connection itself comes from that proxy."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from flashsale_core.ids import UserId
from flashsale_core.networks import Network
from flashsale_gateway.errors import Unauthenticated
from flashsale_gateway.identity.user_ids import to_user_id

ISSUER = "header"
"""Stands for the issuer in the hash of an id that does not fit."""
PEERS_KEPT = 4096


class Proxies:
    def __init__(self, header_name: str, networks: Sequence[Network]) -> None:
        self.header_name = header_name.lower().encode()
        self._networks = tuple(networks)
        # Reading an address takes longer than checking a token, and proxies are few.
        self._is_trusted = lru_cache(PEERS_KEPT)(self._is_listed)

    def user_of(self, values: Sequence[bytes], peer: str) -> UserId | None:
        """The buyer named by `peer`; None if it names none or is no listed proxy.

        Raises Unauthenticated if it names two: one of them is the client's own.
        """
        if not values or not self._is_trusted(peer):
            return None
        if len(values) > 1:
            raise Unauthenticated("two_headers")
        subject = values[0].decode("latin-1").strip()
        return to_user_id(ISSUER, subject) if subject else None

    def _is_listed(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
