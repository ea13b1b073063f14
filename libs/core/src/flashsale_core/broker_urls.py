"""Where the nodes of RabbitMQ are: any of them serves every client, so a client takes the next one while one does not answer.

One URL takes all of this to wherever a session is opened, as with certificates (docs/decisions/0041). Pure.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from flashsale_core import credentials
from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates

HOSTS, CONNECT_TIMEOUT = "FLASHSALE_AMQP_HOSTS", "FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS"
CONNECT_TIMEOUT_SECONDS_DEFAULT = 3.0
"""The kernel would repeat its request to a dead node for two minutes."""
HOSTS_MAX = 16
_OPTION = "connect_timeout_seconds"


class Nodes(NamedTuple):
    urls: Sequence[str]
    """A URL for each node, with one host."""
    connect_timeout_seconds: float
    """For each node."""


def broker_url(url: str, variables: Environment) -> str:
    """`url` with the hosts of FLASHSALE_AMQP_HOSTS as well, and with certificates and the timeout as options.

    Raises SettingsError, which names the variable, unless each of them is valid.
    """
    parts = urlsplit(with_certificates(credentials.amqp_url(url), variables))
    login, at, own = parts.netloc.rpartition("@")
    hosts = tuple(dict.fromkeys((*_listed(variables.text(HOSTS, "")), *own.split(","))))
    if len(hosts) > HOSTS_MAX:
        raise SettingsError(f"{HOSTS} and AMQP_URL name {len(hosts)} hosts; name at most {HOSTS_MAX}")
    seconds = variables.number(CONNECT_TIMEOUT, CONNECT_TIMEOUT_SECONDS_DEFAULT, least=0.1, most=60)
    options = [*parse_qsl(parts.query, keep_blank_values=True), (_OPTION, f"{seconds:g}")]
    return parts._replace(netloc=f"{login}{at}{','.join(hosts)}", query=_joined(options)).geturl()


def nodes(url: str) -> Nodes:
    """The nodes that a URL names, in its order."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    seconds = float(options.pop(_OPTION, CONNECT_TIMEOUT_SECONDS_DEFAULT))
    query = _joined(list(options.items()))
    return Nodes([parts._replace(netloc=f"{login}{at}{host}", query=query).geturl() for host in hosts.split(",")], seconds)


def host_of(url: str) -> str:
    """HOST:PORT, for logs and errors."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _listed(text: str) -> list[str]:
    hosts = [host.strip() for host in text.split(",")] if text else []
    if not all(map(credentials.is_host, hosts)):
        raise SettingsError(f"{HOSTS} must be HOST:PORT, with commas between; one of its parts is not")
    return hosts


def _joined(options: Sequence[tuple[str, str]]) -> str:
    return urlencode(options, quote_via=quote, safe="/")
