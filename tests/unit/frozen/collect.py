"""The outward names that the product has now: one function for each list, out of the product's own objects where it has them."""

import hashlib
import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, EnumType
from typing import Any, get_args

import msgspec
import typer
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from flashsale_core.settings import Environment
from tests.unit.frozen import places, source

SALE, ORDER = "shoe", "A" * 20
_DESCRIBING = ("description", "summary", "title")


def http() -> Iterator[str]:
    """Operations, statuses, headers, parameters and problem codes of the OpenAPI documents, and the fields of their schemas."""
    for document in places.API_DOCUMENTS:
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                yield from _operation(f"{method.upper()} {path}", operation)
        for name, schema in document["components"]["schemas"].items():
            yield from _schema(name, schema)
        for name, scheme in document["components"]["securitySchemes"].items():
            yield f"security {name} {_plain(scheme)}"
    for code, kind in places.PROBLEM_KINDS.items():
        problem = places.PROBLEM(code, "detail", field="field", allow="GET")
        headers = ",".join(f"{name}: {value}" for name, value in sorted(problem.headers.items()))
        yield f"problem {code} {kind.status} fields {','.join(problem.document)} headers {headers}"
    # Headers, methods and media types that the document does not name. The core library writes those of a refusal.
    for place in ("flashsale_gateway", "problems.py"):
        yield from (f"word {text}" for text in source.matching(r"[a-z]+(-[a-z]+)+(: [^\n]*)?", place))


def redis() -> Iterator[str]:
    """Keys of a sample sale with 1 and 16 shards, fields and formats of what they hold."""
    for shards in (1, 16):
        for key in sorted(_keys(shards)):
            yield f"{shards} shards: {key}"
    yield from (f"key {key}" for key in places.OTHER_KEYS)
    yield f"deadline member {places.DEADLINE_MEMBER(SALE, ORDER)}"
    yield f"consumer group {places.CONSUMER_GROUP}"
    yield f"record {' '.join(places.RECORD.__dataclass_fields__)}"
    yield f"terms {' '.join(places.TERMS)}"
    yield from (f"state {letter} {state}" for letter, state in places.STATE_LETTERS.items())
    yield from (f"script word {word}" for word in source.lua_words())


def metrics() -> Iterator[str]:
    """`name type labels` of every metric of ours, with bounds of buckets; the names of tasks, which label one of them."""
    _import_everything()
    collectors: Mapping[Any, Any] = REGISTRY._collector_to_names
    for metric in collectors:
        if isinstance(metric, MetricWrapperBase) and metric._name.startswith("flashsale_"):
            bounds = " ".join(f"{bound:g}" for bound in getattr(metric, "_upper_bounds", ()))
            yield f"{metric._name} {metric._type} labels({','.join(metric._labelnames)}) {bounds}".strip()
    yield from (f"name of a task or span {text}" for text in source.started_names())


def messages() -> Iterator[str]:
    """Event types, the fields of messages in order, and the broker's topology with its names and rights."""
    for kind in places.MESSAGES:
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.StructType)
        yield f"message {info.tag_field}={info.tag} {_fields(info)}"
        for field in info.fields:
            if isinstance(field.type, msgspec.inspect.ListType) and isinstance(field.type.item_type, msgspec.inspect.StructType):
                yield f"message {info.tag} {field.encode_name}[] {_fields(field.type.item_type)}"
    yield from (f"header {name}" for name in places.MESSAGE_HEADERS)
    users = places.BROKER_USERS(dict.fromkeys(("gateway", "order-worker", "timeout-worker", "keeper"), ""))
    for section, entries in places.BROKER(users, places.WINDOWS).items():
        yield from (f"{section} {_plain(entry)}" for entry in entries)


def environment() -> Iterator[str]:
    """The variables that each service's settings read, and every variable that code, scripts or deployment name."""
    for module in places.SETTINGS:
        asked = _Asked(REQUIRED | {"FLASHSALE_LUA_DIR": str(places.LUA)})
        importlib.import_module(module).read_settings(Environment(asked))
        yield from (f"{module.split('.')[0]} {name}" for name in asked.names)
    yield from (f"code {name}" for name in source.matching(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+"))
    files = [places.ROOT / "Makefile", *(places.ROOT / "scripts").glob("*.sh"), *(places.ROOT / "deploy").rglob("*.*")]
    texts = [file.read_text() for file in files if file.is_file() and file.suffix in ("", ".sh", ".yaml", ".tpl", ".env", ".txt")]
    yield from (f"deployment {name}" for text in texts for name in re.findall(r"\bFLASHSALE_[A-Z0-9_]*[A-Z0-9]", text))


def command_line() -> Iterator[str]:
    """Every command with its options, arguments and their types; the exit statuses."""
    yield from _commands(typer.main.get_command(places.COMMAND_LINE), "flashsale")
    yield from (f"exit status {value}" for value in places.EXIT_STATUSES)


def kubernetes() -> Iterator[str]:
    """Fields of FlashSale and its printer columns, condition types, reasons and phases, and names under our domain."""
    document = yaml.safe_load((places.CHART / "files" / "flashsales.flashsale.dev.yaml").read_text())
    for version in document["spec"]["versions"]:
        yield from _schema(version["name"], version["schema"]["openAPIV3Schema"])
        yield from (f"column {column['name']} {column['jsonPath']}" for column in version["additionalPrinterColumns"])
    yield f"names {_plain(document['spec']['names'])}"
    yield f"resource {' '.join(places.RESOURCE)}"
    yield from (f"word {word.value}" for words in places.RESOURCE_WORDS for word in words)
    yield from (f"literal {text}" for text in source.matching(r"([A-Z][a-z]+)+|[\w./-]*flashsale\.dev[\w./-]*", places.OPERATOR.__name__))


def chart() -> Iterator[str]:
    """Keys of the chart's values, those without a default included."""
    yield from (f"value {path}" for path in _paths(yaml.safe_load((places.CHART / "values.yaml").read_text())))
    yield from (f"schema {path}" for path in _properties(json.loads((places.CHART / "values.schema.json").read_text())))


def observability() -> Iterator[str]:
    """Alerts, dashboards with their variables, log events, and the names and attributes of spans."""
    rules = yaml.safe_load((places.CHART / "files" / "alerts.yaml").read_text())
    yield from (f"alert {rule['alert']} {_plain(rule['labels'])}" for group in rules["groups"] for rule in group["rules"])
    for file in (places.CHART / "files" / "dashboards").glob("*.json"):
        board = json.loads(file.read_text())
        variables = ",".join(variable["name"] for variable in board["templating"]["list"])
        yield f"dashboard {file.name} {board['uid']} variables({variables})"
    yield from (f"log {event}" for event in source.log_events())
    yield from (f"span {name} {','.join(sorted(attributes))}" for name, attributes in places.SPANS)
    yield from (f"attribute {text}" for text in source.matching(r"flashsale\.[a-z_]+|(http|error)\.[a-z._]+"))


def migrations() -> Iterator[str]:
    """Files of the ledger's migrations with their hashes: installations refuse a file that is not the one they applied."""
    yield from (
        f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in (places.ROOT / "db" / "migrations").glob("*.sql")
    )


LISTS: Mapping[str, Callable[[], Iterable[str]]] = {
    "http": http,
    "redis": redis,
    "metrics": metrics,
    "messages": messages,
    "environment": environment,
    "command_line": command_line,
    "kubernetes": kubernetes,
    "chart": chart,
    "observability": observability,
    "migrations": migrations,
}
"""Title of a list, which is its file's name -> what collects it."""


def names(title: str) -> list[str]:
    """The names of one list, sorted, each once."""
    return sorted(set(LISTS[title]()))


class _Asked(dict[str, str]):
    """Variables that remember which of them were asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.names: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        self.names.append(name)
        return super().get(name, default)


REQUIRED = {
    "REDIS_URL": "redis://server",
    "AMQP_URL": "amqp://server",
    "DATABASE_URL": "postgresql://server/database",
    "FLASHSALE_ORDER_ID_KEY": "k" * 32,
    "FLASHSALE_CONSOLE_USERS_FILE": "/users",
    "FLASHSALE_CONSOLE_SESSION_KEY": "s" * 32,
    "FLASHSALE_CONSOLE_ADMIN_KEY": "a" * 16,
    "FLASHSALE_ADMIN_URL": "http://gateway",
    "FLASHSALE_LEDGER_API_URL": "http://ledger-api",
    "FLASHSALE_ADMIN_TOKEN": "t" * 16,
    "FLASHSALE_IDENTITY": "service,token,jwt,header,body",
    "FLASHSALE_SERVICE_KEYS": f"shop:{'s' * 16}",
    "FLASHSALE_BUYER_TOKEN_KEY": "b" * 32,
    "FLASHSALE_JWT_ISSUER": "issuer",
    "FLASHSALE_JWT_AUDIENCE": "audience",
    "FLASHSALE_JWT_SECRET": "j" * 32,
    "FLASHSALE_IDENTITY_HEADER_FROM": "10.0.0.0/8",
    "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8,
}


def _operation(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"{name} operationId {operation['operationId']}"
    for parameter in operation.get("parameters", ()):
        yield f"{name} parameter {parameter['in']} {parameter['name']} {_plain(parameter)}"
    if "requestBody" in operation:
        yield f"{name} body {_plain(operation['requestBody'])}"
    if "security" in operation:
        yield f"{name} security {_plain(operation['security'])}"
    for status, response in operation["responses"].items():
        # The description of a problem's response is the list of its codes.
        yield f"{name} {status} {response['description']} {_plain(response)}"


def _schema(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """A line for each field, with all that bounds it."""
    nested = {"properties", "items"}
    bounds = {key: value for key, value in schema.items() if key not in nested and not key.startswith("x-kubernetes")}
    yield f"schema {path} {_plain(bounds)}"
    for name, inner in schema.get("properties", {}).items():
        yield from _schema(f"{path}.{name}", inner)
    if "items" in schema:
        yield from _schema(f"{path}[]", schema["items"])


def _plain(value: Any) -> str:
    """As JSON, without the texts for people."""
    return json.dumps(_without_texts(value), sort_keys=True, default=str)


def _without_texts(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_texts(inner) for name, inner in value.items() if not _is_text(name, inner)}
        case list() | tuple():
            return [_without_texts(inner) for inner in value]
        case _:
            return value


def _is_text(name: str, value: Any) -> bool:
    return name == "examples" or (name in _DESCRIBING and isinstance(value, str))


def _keys(shards: int) -> Iterator[str]:
    groups = (places.SALE_KEYS(SALE, shards), places.SHARD_KEYS(places.SHARD_OF(SALE, shards)))
    yield from (getattr(group, name) for group in groups for name in group.__dataclass_fields__)
    yield from (key for keys in places.SALE_KEY_LISTS for key in keys(SALE, shards))
    yield from (key for keys in places.SALES_KEY_LISTS for direct in (True, False) for key in keys([SALE], shards, direct))


def _import_everything() -> None:
    """Every module of the product, so that whatever defines a metric has done so."""
    for folder in places.SOURCES:
        for module in pkgutil.walk_packages([str(folder)]):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _fields(info: msgspec.inspect.StructType) -> str:
    return " ".join(f"{field.encode_name}:{_type(field.type)}{'' if field.required else '?'}" for field in info.fields)


def _type(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.LiteralType(values=values):
            return "|".join(map(str, values))
        case msgspec.inspect.UnionType(types=types):
            return "|".join(map(_type, types))
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _commands(command: Any, path: str) -> Iterator[str]:
    for parameter in command.params:
        spelled = "/".join((*parameter.opts, *parameter.secondary_opts))
        annotation = parameter.type_descriptor.annotation if hasattr(parameter, "type_descriptor") else parameter.type
        kind = ",".join(_choices(annotation))
        many = " many" if parameter.nargs == -1 or getattr(parameter, "multiple", False) else ""
        yield f"{path} {parameter.param_type_name} {spelled} {kind}{many}{' required' if parameter.required else ''}"
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{path} {name}")
    yield path


def _choices(annotation: Any) -> list[str]:
    """The values that an option takes; its type's name when they are not listed."""
    if isinstance(annotation, EnumType):
        members: list[Enum] = list(annotation)
        return [str(member.value) for member in members]
    parts = [choice for part in get_args(annotation) for choice in _choices(part)]
    return parts or [str(getattr(annotation, "__name__", annotation))]


def _paths(values: Any, path: str = "") -> Iterator[str]:
    if path:
        yield path
    if isinstance(values, dict):
        for name, inner in values.items():
            yield from _paths(inner, f"{path}.{name}".lstrip("."))


def _properties(schema: Any, path: str = "") -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}".lstrip(".")
        yield from _properties(inner, f"{path}.{name}".lstrip("."))
    yield from _properties(schema.get("items"), f"{path}[]")
