"""`flashsale topology` as the chart's init container runs it."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flashsale_cli.main import app


def test_definitions_per_service_are_written_to_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY", "ORDER_WORKER", "TIMEOUT_WORKER", "KEEPER"):
        monkeypatch.setenv(f"FLASHSALE_AMQP_{name}_PASSWORD", "secret")
    monkeypatch.setenv("FLASHSALE_PAYMENT_WINDOWS", "5,60")
    target = tmp_path / "definitions.json"
    done = CliRunner().invoke(app, ["topology", "--per-service", "--output", str(target)])
    assert (done.exit_code, done.stdout) == (0, "")
    document = json.loads(target.read_text())
    assert [user["name"] for user in document["users"]] == ["gateway", "order-worker", "timeout-worker", "keeper"]
    assert {"payment.wait.5", "payment.wait.60"} <= {queue["name"] for queue in document["queues"]}
    assert stat.S_IMODE(target.stat().st_mode) & stat.S_IROTH == 0
    assert "secret" not in target.read_text()


def test_missing_password_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLASHSALE_AMQP_GATEWAY_PASSWORD", raising=False)
    done = CliRunner().invoke(app, ["topology", "--per-service"])
    assert (done.exit_code, "FLASHSALE_AMQP_GATEWAY_PASSWORD" in done.output) == (2, True)
