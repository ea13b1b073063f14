"""Which addresses a webhook may go to: those of the internet, and others only if they are on a list. Pure.

Otherwise whoever may add an endpoint could read the cluster's own services, or the cloud's metadata, from the notifier's answers.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from flashsale_core.errors import SettingsError
from flashsale_core.networks import Network, unmapped

Address = IPv4Address | IPv6Address
# Azure's host agent, which answers only machines of Azure, has an address of the internet.
_METADATA = frozenset((ip_address("168.63.129.16"),))
# Not of the internet, although some releases of Python say so: Oracle's metadata are at 192.0.0.192.
_RESERVED = tuple(ip_network(text) for text in ("192.0.0.0/24", "64:ff9b:1::/48", "fec0::/10", "::/96"))
_NAT64 = ip_network("64:ff9b::/96")
_MAPPED_BITS = 0xFFFF_FFFF


class ForbiddenAddressError(OSError):
    """No address of the endpoint may be connected to."""


def parse_networks(text: str, name: str) -> tuple[Network, ...]:
    """Networks with commas between, such as `10.1.2.0/24,fd00::/8`. Raises SettingsError with the name of the variable."""
    try:
        return tuple(unmapped(ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SettingsError(f"{name} must be networks with commas between, such as 10.1.2.0/24: {error}") from None


def fault_of(text: str, allowed: Sequence[Network], *, secure: bool) -> str | None:
    """Why nothing is sent to the address `text`; None if it is permitted. `secure`: whether the URL is https.

    An address on the list is permitted in any case; every other one must be of the internet, and needs https.
    """
    address = embedded(ip_address(text.partition("%")[0]))
    if any(address in network for network in allowed):
        return None
    if address in _METADATA or _is_inside(address):
        return f"{text} is not an address of the internet; to allow it, add its network to FLASHSALE_NOTIFIER_ALLOWED_NETWORKS"
    return None if secure else f"{text} is not in an allowed network, so its URL must begin with https://"


def _is_inside(address: Address) -> bool:
    special = not address.is_global or address.is_multicast or address.is_reserved
    return special or any(address in network for network in _RESERVED)


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64); otherwise the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & _MAPPED_BITS)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address
