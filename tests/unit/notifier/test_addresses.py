import pytest

from flashsale_core.errors import SettingsError
from flashsale_notifier.addresses import fault_of, parse_networks

ALLOWED = parse_networks("10.1.0.0/16, fd00:1::/32", "NETWORKS")
INSIDE = (
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "168.63.129.16", "100.100.100.200", "0.0.0.0",  # noqa: S104
    "224.0.0.1",
    "255.255.255.255", "192.0.0.8", "192.0.0.192", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "ff02::1",
    "fd00:ec2::254",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1", "::127.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_that_are_not_of_the_internet_are_forbidden(address: str) -> None:
    assert "is not an address of the internet" in str(fault_of(address, ALLOWED, secure=True))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_need_https(address: str) -> None:
    assert fault_of(address, (), secure=True) is None
    assert "must begin with https://" in str(fault_of(address, (), secure=False))


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00:1::7", "::ffff:10.1.2.3"])
def test_listed_networks_are_allowed_also_without_tls(address: str) -> None:
    assert fault_of(address, ALLOWED, secure=False) is None
    assert fault_of(address, (), secure=True) is not None


def test_network_of_mapped_addresses_is_that_of_the_addresses() -> None:
    assert fault_of("10.1.2.3", parse_networks("::ffff:10.1.0.0/112", "NETWORKS"), secure=False) is None


def test_wrong_network_is_refused_with_the_variable() -> None:
    with pytest.raises(SettingsError, match="NETWORKS must be networks"):
        parse_networks("10.1.2.3/8", "NETWORKS")
    assert parse_networks("", "NETWORKS") == ()
