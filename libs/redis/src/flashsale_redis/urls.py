"""Reads and checks REDIS_URL. Pure. Errors show only its scheme, because the rest may contain a password."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from flashsale_core.credentials import refuse_wrapping
from flashsale_core.errors import SettingsError

PLAIN = ("redis", "rediss", "unix")
CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""Scheme of a cluster -> scheme of one of its nodes."""
PORT_DEFAULT = 6379
Address = tuple[str, int]
_NODE = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:,\s]+))(?::(?P<port>[0-9]{1,5}))?")
_CURE = "use redis://USER:PASSWORD@HOST:PORT/0, or redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT (rediss for TLS)"


@dataclass(frozen=True, slots=True)
class ClusterUrl:
    scheme: str
    """The scheme of one node: redis or rediss."""
    credentials: str
    """As in the URL, with the @; empty if there are none."""
    seeds: tuple[Address, ...]
    """The nodes that the URL names; any of them reports the others."""
    query: str

    def node_url(self, address: Address) -> str:
        host, port = address
        bracketed = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{self.credentials}{bracketed}:{port}/0{'?' if self.query else ''}{self.query}"


def checked_url(url: str) -> str:
    """`url` as it is. Raises SettingsError unless it is valid."""
    refuse_wrapping(url, "REDIS_URL", _CURE)
    cluster_url(url)
    return url


def cluster_url(url: str) -> ClusterUrl | None:
    """The parts of a cluster's URL; None for the URL of a single server. Raises SettingsError if the URL is not valid."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SettingsError(f"REDIS_URL is not a URL; {_CURE}") from None
    if parts.scheme in PLAIN:
        if parts.scheme != "unix":
            _address(parts.netloc.rpartition("@")[2])
        return None
    if parts.scheme not in CLUSTER:
        raise SettingsError(f"REDIS_URL begins with {url.partition('://')[0][:20]!r}; {_CURE}" if "://" in url else f"REDIS_URL: {_CURE}")
    if parts.path not in ("", "/", "/0"):
        raise SettingsError(f"REDIS_URL names database {parts.path[1:]!r}; a Redis Cluster has database 0 only")
    credentials, at, nodes = parts.netloc.rpartition("@")
    return ClusterUrl(CLUSTER[parts.scheme], credentials + at, tuple(_address(node) for node in nodes.split(",")), parts.query)


def _address(node: str) -> Address:
    match = _NODE.fullmatch(node)
    port = int(match["port"] or PORT_DEFAULT) if match else 0
    if match is None or not 0 < port <= 65535:
        raise SettingsError(f"REDIS_URL names a node that is not HOST or HOST:PORT; {_CURE}")
    return match["v6"] or match["name"], port
