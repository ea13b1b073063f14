"""Where the product defines its outward names. If a module moves or an object is renamed, only this file changes."""

from importlib import import_module
from pathlib import Path

from flashsale_cli import console
from flashsale_cli.main import app
from flashsale_core import keys, messages, orders, records, semconv, topology, tracing
from flashsale_gateway.http import openapi, problems
from flashsale_gateway.http.operations import Audience
from flashsale_gateway.outbox.group_consumer import GROUP
from flashsale_ledger_api import openapi as ledger_openapi
from flashsale_operator import conditions, plan, resource
from flashsale_operator.resource import DeletionPolicy

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(path for pattern in ("libs/*/src", "services/*/src", "cli/src") for path in ROOT.glob(pattern))
"""The folders of product code: whatever is added below them is looked at."""
LUA = ROOT / "lua"
CHART = ROOT / "deploy" / "helm" / "flashsale"
SETTINGS = (
    "flashsale_gateway.settings",
    "flashsale_order_worker.settings",
    "flashsale_timeout_worker.settings",
    "flashsale_keeper.settings",
    "flashsale_ledger_api.settings",
    "flashsale_notifier.settings",
    "flashsale_console.settings",
    "flashsale_storefront.settings",
    "flashsale_operator.settings",
)

COMMAND_LINE = app
EXIT_STATUSES = (console.EXIT_FAILED, console.EXIT_USAGE, console.EXIT_UNREACHABLE)
API_DOCUMENTS = (*(openapi.document(audience, 100, topology.WINDOWS_DEFAULT) for audience in Audience), ledger_openapi.document())
PROBLEM = problems.Problem
PROBLEM_KINDS = problems.KINDS

SALE_KEYS, SHARD_KEYS, SHARD_OF = keys.sale_keys, keys.shard_keys, keys.shard_of
SALE_KEY_LISTS = (keys.define_keys, keys.order_keys)
SALES_KEY_LISTS = (keys.reserve_keys, keys.settle_keys)
DEADLINE_MEMBER = keys.deadline_member
OTHER_KEYS = (keys.WAITS,)
CONSUMER_GROUP = GROUP
RECORD = records.OrderRecord
STATE_LETTERS = orders.LETTERS
TERMS = records.TERMS

MESSAGES = (*messages.Message.__args__, messages.WaitProbed)
MESSAGE_HEADERS = (tracing.SENT_HEADER, tracing.SENT_AT_HEADER)
BROKER = topology.definitions
BROKER_USERS = topology.service_users
WINDOWS = topology.WINDOWS_DEFAULT
WAIT_QUEUE, RESERVED_ROUTING_KEY = topology.wait_queue, topology.reserved_routing_key

RESOURCE = (resource.GROUP, resource.VERSION, resource.PLURAL)
RESOURCE_WORDS = (conditions.Phase, plan.StallReason, DeletionPolicy)
OPERATOR = import_module("flashsale_operator")

SPANS = (
    semconv.request("POST", "/order"),
    semconv.script_call("reserve", "redis://server:1/0"),
    semconv.ledger_write(("orders",), "postgresql://server:1/database"),
    semconv.send("exchange", "key", "amqp://server:1"),
    semconv.process("exchange", "key", "queue", "amqp://server:1"),
    semconv.wait("queue"),
)
"""(name, attributes) of one span of each kind."""
