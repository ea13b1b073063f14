"""The gateway's settings: their defaults, and errors that name the variable."""

from pathlib import Path

import pytest

from flashsale_audit.auditor import OPTIONS
from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_gateway.__main__ import server_config
from flashsale_gateway.errors import Unauthenticated
from flashsale_gateway.identity.identities import Identities
from flashsale_gateway.identity_settings import IdentitySettings
from flashsale_gateway.outbox.monitor import MEASURE_EVERY_SECONDS
from flashsale_gateway.settings import read_settings

PUBLISHED_SECONDS = 5.0
"""What the broker and the order-worker may take for an entry."""


def variables(tmp_path: Path) -> dict[str, str]:
    return {
        "REDIS_URL": "redis://r", "AMQP_URL": "amqp://a", "FLASHSALE_LUA_DIR": str(tmp_path), "FLASHSALE_ORDER_ID_KEY": "k" * 32,
        "FLASHSALE_ADMIN_TOKEN": "t" * 16, "FLASHSALE_IDENTITY": "body", "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8,
    }  # fmt: skip


def test_defaults_are_complete(tmp_path: Path) -> None:
    settings = read_settings(Environment(variables(tmp_path)))
    assert (settings.port, settings.admin_port) == (8000, 0)
    assert (settings.batch_max, settings.payment_windows) == (256, (15, 60, 120, 300, 600, 900, 1800))


def test_keeper_reports_no_hole_before_another_gateway_has_published_what_a_dead_one_held(tmp_path: Path) -> None:
    settings = read_settings(Environment(variables(tmp_path)))
    assert settings.relay_claim_idle_ms / 1000 + MEASURE_EVERY_SECONDS + PUBLISHED_SECONDS <= OPTIONS.lag_seconds


def test_idle_connection_outlives_that_of_a_load_balancer(tmp_path: Path) -> None:
    """ALB and nginx keep theirs for 60 s. If the gateway closed first, a request already on its way would end in a 502."""
    settings = read_settings(Environment(variables(tmp_path)))
    assert server_config(settings).timeout_keep_alive == settings.keep_alive_seconds == 75


@pytest.mark.parametrize("name", ["REDIS_URL", "AMQP_URL", "FLASHSALE_ORDER_ID_KEY", "FLASHSALE_ADMIN_TOKEN", "FLASHSALE_WEBHOOK_SECRET"])
def test_missing_variable_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(Environment({key: value for key, value in variables(tmp_path).items() if key != name}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLASHSALE_PORT", "http"), ("FLASHSALE_PORT", "70000"), ("FLASHSALE_BATCH_MAX", "0"), ("FLASHSALE_REDIS_TIMEOUT_SECONDS", "-1"),
        ("FLASHSALE_PAYMENT_WINDOWS", "5,x"), ("FLASHSALE_ORDER_ID_KEY", "short"), ("FLASHSALE_ADMIN_TOKEN", "short"),
        ("FLASHSALE_LUA_DIR", "/nowhere"), ("FLASHSALE_WEBHOOK_SECRET", "v1,whsec_" + "QUFB" * 8), ("FLASHSALE_WEBHOOK_SECRET", "changeme"),
        ("FLASHSALE_ADMIN_PORT", "admin"), ("FLASHSALE_ADMIN_PORT", "8000"),
        ("FLASHSALE_ADMIN_TOKEN", "change-me"), ("FLASHSALE_ORDER_ID_KEY", f"'{'k' * 32}'"), ("AMQP_URL", "amqp://"), ("REDIS_URL", "redis://"),
    ],
)  # fmt: skip
def test_wrong_value_names_the_variable(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(Environment(variables(tmp_path) | {name: value}))


def test_order_ids_have_one_key_or_two(tmp_path: Path) -> None:
    keys = ["a" * 16, "b" * 16, "c" * 16]
    two = read_settings(Environment(variables(tmp_path) | {"FLASHSALE_ORDER_ID_KEY": " ".join(keys[:2])}))
    assert two.order_id_keys == (b"a" * 16, b"b" * 16)
    with pytest.raises(SettingsError, match=r"^FLASHSALE_ORDER_ID_KEY has 3 keys"):
        read_settings(Environment(variables(tmp_path) | {"FLASHSALE_ORDER_ID_KEY": " ".join(keys)}))


def of_header(tmp_path: Path, **changed: str) -> IdentitySettings:
    given = {"FLASHSALE_IDENTITY": "header", "FLASHSALE_IDENTITY_HEADER_FROM": "10.0.0.0/8"}
    return read_settings(Environment(variables(tmp_path) | given | changed)).identity


@pytest.mark.parametrize("name", ["authorization", "Content-Type", "content-length", "HOST", "Idempotency-Key", "traceparent", "cookie"])
def test_identity_header_has_no_other_meaning(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^FLASHSALE_IDENTITY_HEADER is {name}, which clients send"):
        of_header(tmp_path, FLASHSALE_IDENTITY_HEADER=name)
    assert of_header(tmp_path, FLASHSALE_IDENTITY_HEADER="X-User").header_name == "X-User"


@pytest.mark.parametrize("name", ["X User", "X-User:", "X-Üser", "x" * 101])
def test_identity_header_is_a_header(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="no name of a header"):
        of_header(tmp_path, FLASHSALE_IDENTITY_HEADER=name)


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3"])
@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "::ffff:10.0.0.0/104", "::ffff:a00:0/104"])
def test_mapped_addresses_of_a_proxy_are_its_addresses(tmp_path: Path, cidr: str, peer: str) -> None:
    identities = Identities(of_header(tmp_path, FLASHSALE_IDENTITY_HEADER_FROM=cidr))
    assert identities.identify(None, (b"ann",), peer).user == "ann"
    with pytest.raises(Unauthenticated):
        identities.identify(None, (b"ann",), "11.1.2.3")


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0", "10.0.0.0/8,0.0.0.0/0", "::ffff:0:0/96"])
def test_every_address_is_no_proxy(tmp_path: Path, cidr: str) -> None:
    with pytest.raises(SettingsError, match="every address"):
        of_header(tmp_path, FLASHSALE_IDENTITY_HEADER_FROM=cidr)
