"""Networks of settings. Pure."""

from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network
_MAPPED = IPv6Network("::ffff:0:0/96")


def unmapped(network: Network) -> Network:
    """IPv4 addresses written as IPv6 (RFC 4291, 2.5.5.2), such as ::ffff:10.0.0.0/104, as IPv4: addresses are compared as IPv4 too."""
    if isinstance(network, IPv4Network) or network.prefixlen < _MAPPED.prefixlen or not network.subnet_of(_MAPPED):
        return network
    address = network.network_address.ipv4_mapped
    assert address is not None  # noqa: S101 - it is within _MAPPED
    return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
