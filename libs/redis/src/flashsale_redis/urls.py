"""Reads and checks REDIS_URL. Pure. Errors show only its scheme, because the rest may contain a password."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from flashsale_core.errors import SettingsError

PLAIN = ("redis", "rediss", "unix")
CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""Scheme of a cluster -> scheme of one of its nodes."""
SENTINEL = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""Scheme of a master that Sentinels name -> scheme of the master and of the Sentinels."""
PORT_DEFAULT = 6379
Address = tuple[str, int]
_NODE = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:,\s]+))(?::(?P<port>[0-9]{1,5}))?")
_CURE = (
    "use redis://USER:PASSWORD@HOST:PORT/0, redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT"
    " or redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE (rediss for TLS)"
)


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
        return server_url(self.scheme, self.credentials, address, self.query)


def cluster_url(url: str) -> ClusterUrl | None:
    """The parts of a cluster's URL; None for the URL of a single server or of Sentinels. Raises SettingsError if the URL is not valid."""
    parts = split(url)
    if parts.scheme in PLAIN:
        if parts.scheme != "unix":
            address_of(parts.netloc.rpartition("@")[2], PORT_DEFAULT)
        return None
    if parts.scheme in SENTINEL:
        return None
    if parts.scheme not in CLUSTER:
        raise SettingsError(f"REDIS_URL begins with {url.partition('://')[0][:20]!r}; {_CURE}" if "://" in url else f"REDIS_URL: {_CURE}")
    if parts.path not in ("", "/", "/0"):
        raise SettingsError(f"REDIS_URL names database {parts.path[1:]!r}; a Redis Cluster has database 0 only")
    credentials, at, nodes = parts.netloc.rpartition("@")
    seeds = tuple(address_of(node, PORT_DEFAULT) for node in nodes.split(","))
    return ClusterUrl(CLUSTER[parts.scheme], credentials + at, seeds, parts.query)


def split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise SettingsError(f"REDIS_URL is not a URL; {_CURE}") from None


def server_url(scheme: str, credentials: str, address: Address, query: str) -> str:
    """The URL of one server. `credentials` ends with the @, or is empty."""
    host, port = address
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{credentials}{bracketed}:{port}/0{'?' if query else ''}{query}"


def address_of(node: str, port_default: int) -> Address:
    match = _NODE.fullmatch(node)
    port = int(match["port"] or port_default) if match else 0
    if match is None or not 0 < port <= 65535:
        raise SettingsError(f"REDIS_URL names a node that is not HOST or HOST:PORT; {_CURE}")
    return match["v6"] or match["name"], port
