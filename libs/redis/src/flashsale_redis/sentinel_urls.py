"""Reads a REDIS_URL of Sentinels: redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE. Pure.

USER and PASSWORD are the master's. Sentinels that ask for a login get `?sentinel_username=...&sentinel_password=...`, percent-encoded.
Every other option of the query applies to the master and to the Sentinels, except `db`, which only the master has.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode

from flashsale_core.credentials import refuse_wrapping
from flashsale_core.errors import SettingsError
from flashsale_redis.urls import SENTINEL, Address, address_of, cluster_url, server_url, split

PORT_DEFAULT = 26379
EXAMPLE = "redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE"
_PREFIX, _USERNAME, _PASSWORD = "sentinel_", "sentinel_username", "sentinel_password"
# Sentinel itself accepts no other names: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    scheme: str
    """The scheme of the master and of each Sentinel: redis or rediss."""
    service: str
    """The name under which the Sentinels know the master."""
    sentinels: tuple[Address, ...]
    master_url: str = field(repr=False)
    """For the options of a connection to the master. Its host is the service's name; the Sentinels give the address."""
    credentials: str = field(repr=False)
    """The Sentinels' own, percent-encoded, with the @; empty if they ask for none."""
    query: str
    """The options of a connection to a Sentinel."""

    def sentinel_url(self, address: Address) -> str:
        return server_url(self.scheme, self.credentials, address, self.query)


def checked_url(url: str) -> str:
    """`url` as it is, whichever kind it is of. Raises SettingsError unless it is valid."""
    refuse_wrapping(url, "REDIS_URL", f"use redis://USER:PASSWORD@HOST:PORT/0 or {EXAMPLE}")
    sentinel_url(url)
    cluster_url(url)
    return url


def sentinel_url(url: str) -> SentinelUrl | None:
    """The parts of a URL of Sentinels; None for any other URL. Raises SettingsError if it is not valid."""
    parts = split(url)
    if parts.scheme not in SENTINEL:
        return None
    service = parts.path.removeprefix("/")
    if not _SERVICE.fullmatch(service):
        raise SettingsError(
            f"REDIS_URL names no master after its Sentinels, or one with other characters than a-z, 0-9, . _ -; use {EXAMPLE}"
        )
    scheme = SENTINEL[parts.scheme]
    credentials, at, nodes = parts.netloc.rpartition("@")
    sentinels = tuple(address_of(node, PORT_DEFAULT) for node in nodes.split(","))
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    login = {name: options.pop(name) for name in list(options) if name.startswith(_PREFIX)}
    master = server_url(scheme, credentials + at, (service, PORT_DEFAULT), urlencode(options))
    options.pop("db", None)
    return SentinelUrl(scheme, service, sentinels, master, _credentials(login), urlencode(options))


def _credentials(login: dict[str, str]) -> str:
    if unknown := sorted(login.keys() - {_USERNAME, _PASSWORD}):
        raise SettingsError(f"REDIS_URL has the unknown option {unknown[0]}; the Sentinels take {_USERNAME} and {_PASSWORD}")
    username, password = login.get(_USERNAME, ""), login.get(_PASSWORD, "")
    if login and not password:
        raise SettingsError(f"REDIS_URL has {_USERNAME} or {_PASSWORD}, and no password in it; write both, or only the password")
    return f"{quote(username, safe='')}:{quote(password, safe='')}@" if password else ""
