"""Names and attributes of spans, by OpenTelemetry's semantic conventions. Pure.

https://opentelemetry.io/docs/specs/semconv/, 1.44: HTTP and databases are stable there, messaging and Redis are not yet. A test
compares the names with the conventions' own package. Attributes that the conventions do not have begin with `flashsale.`.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

Attributes = Mapping[str, str | int | bool]


class SpanTemplate(NamedTuple):
    """A span's name and the attributes that all spans of this name share. It is shared, and must not be changed."""

    name: str
    attributes: Attributes


def request(method: str, route: str) -> SpanTemplate:
    """An HTTP request as its server sees it; the route has no variable part."""
    attributes = {"http.request.method": method, "http.route": route, "url.path": route, "url.scheme": "http"}
    return SpanTemplate(f"{method} {route}", attributes)


def script_call(script: str, redis_url: str) -> SpanTemplate:
    attributes = {
        "db.system.name": "redis",
        "db.operation.name": "EVALSHA",
        "db.stored_procedure.name": script,
        "db.namespace": _database(redis_url) or "0",
    }
    return SpanTemplate(f"EVALSHA {script}", {**attributes, **_server(redis_url)})


@lru_cache(maxsize=64)
def ledger_write(tables: tuple[str, ...], database_url: str) -> SpanTemplate:
    """One transaction; the summary of its statements is its name."""
    summary = " ".join(f"INSERT {table}" for table in tables)
    attributes = {"db.system.name": "postgresql", "db.query.summary": summary, "db.namespace": _database(database_url)}
    return SpanTemplate(summary, {**attributes, **_server(database_url)})


@lru_cache(maxsize=64)
def send(exchange: str, routing_key: str, amqp_url: str) -> SpanTemplate:
    return _message("send", _destination((exchange, routing_key)), routing_key, amqp_url)


@lru_cache(maxsize=64)
def process(exchange: str, routing_key: str, queue: str, amqp_url: str) -> SpanTemplate:
    parts = (exchange, routing_key) if queue == routing_key else (exchange, routing_key, queue)
    return _message("process", _destination(parts), routing_key, amqp_url)


def wait(queue: str) -> SpanTemplate:
    """The time in a wait queue. It is no operation of a client, so the conventions have no span for it."""
    return SpanTemplate(f"wait {queue}", {"messaging.system": "rabbitmq", "messaging.destination.name": queue})


def _message(operation: str, destination: str, routing_key: str, amqp_url: str) -> SpanTemplate:
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
    }
    key = {"messaging.rabbitmq.destination.routing_key": routing_key} if routing_key else {}
    return SpanTemplate(f"{operation} {destination}", {**attributes, **key, **_server(amqp_url)})


def _destination(parts: Iterable[str]) -> str:
    return ":".join(part for part in parts if part)


def _database(url: str) -> str:
    parts = urlsplit(url)
    return "" if _names_sentinels(parts) else parts.path.strip("/")


def _server(url: str) -> Attributes:
    """Where the server is; nothing when the URL names several, or who knows where it is."""
    parts = urlsplit(url)
    if _names_sentinels(parts) or "," in parts.netloc:
        return {}
    try:
        port = parts.port
    except ValueError:
        return {}
    return ({"server.address": parts.hostname} if parts.hostname else {}) | ({"server.port": port} if port else {})


def _names_sentinels(parts: SplitResult) -> bool:
    """Such a URL's hosts are Sentinels, and its path is the name of a master."""
    return parts.scheme.endswith("+sentinel")
