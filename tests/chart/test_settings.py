"""A misspelt variable in a service's `settings` is refused; every service would ignore it."""

import shutil

import pytest
import yaml

from tests.chart.rendering import containers, find, helm, rendered
from tests.unit.frozen.collect import names
from tools.repository import CHART

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

SERVICES = ("gateway", "orderWorker", "timeoutWorker", "keeper", "ledgerApi", "notifier", "console", "storefront", "operator")


def test_chart_knows_the_variables_that_services_read() -> None:
    read = {entry.split(" ")[1] for entry in names("environment") if entry.startswith("flashsale_")}
    known = yaml.safe_load((CHART / "files" / "settings.yaml").read_text())["names"]
    assert known == sorted(name for name in read if name.startswith("FLASHSALE_"))


@pytest.mark.parametrize("service", SERVICES)
def test_setting_that_no_service_reads_is_refused(service: str) -> None:
    status, text = helm("--set", f"{service}.settings.FLASHSALE_WAITNG_MAX=1")
    assert (status, f"{service}.settings has FLASHSALE_WAITNG_MAX, which no service reads" in text) == (1, True), text


def test_flashsales_and_gateways_judge_the_durability_of_redis_alike() -> None:
    def required(*words: str) -> dict[str, str | None]:
        deployments = (find(rendered("", *words), "Deployment", f"shop-flashsale-{name}") for name in ("gateway", "operator"))
        environments = [containers(each["spec"]["template"]["spec"])[0]["env"] for each in deployments]
        return {
            name: next((variable["value"] for variable in environment if variable["name"] == "FLASHSALE_REQUIRE_DURABLE_REDIS"), None)
            for name, environment in zip(("gateway", "operator"), environments, strict=True)
        }

    assert required() == {"gateway": None, "operator": None}
    assert required("--set", "gateway.settings.FLASHSALE_REQUIRE_DURABLE_REDIS=false") == {"gateway": "false", "operator": "false"}


def test_further_variables_and_those_of_libraries_are_accepted() -> None:
    words = (
        "--set",
        "gateway.settings.OTEL_TRACES_SAMPLER=always_on",
        "--set-json",
        'gateway.extraEnv=[{"name":"FLASHSALE_X","value":"1"}]',
    )
    status, text = helm(*words)
    assert status == 0, text


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("operator.settings.FLASHSALE_OPERATOR_WORKERS_MAX=5000", 'must be a whole number from 1 to 1000'),
        ("operator.settings.FLASHSALE_OPERATOR_WORKERS_MAX=0", '"0", which the service refuses'),
        ("operator.settings.FLASHSALE_OPERATOR_WORKERS_MAX=many", '"many", which the service refuses'),
        ("operator.settings.FLASHSALE_OPERATOR_WORKERS_MAX=1.5", '"1.5", which the service refuses'),
        ("keeper.settings.FLASHSALE_REDIS_TIMEOUT_SECONDS=0.01", 'must be a number from 0.05 to 60'),
        ("keeper.settings.FLASHSALE_REDIS_TIMEOUT_SECONDS=nan", '"nan", which the service refuses'),
        ("gateway.settings.FLASHSALE_BATCH_MAX=-1", '"-1", which the service refuses'),
    ],
)  # fmt: skip
def test_number_that_a_service_refuses_is_refused(setting: str, words: str) -> None:
    status, text = helm("--set", setting)
    assert (status, words in text) == (1, True), text


@pytest.mark.parametrize(
    "setting",
    [
        "operator.settings.FLASHSALE_OPERATOR_WORKERS_MAX=1000",
        "gateway.settings.FLASHSALE_CONNECTIONS_MAX=100000",
        "keeper.settings.FLASHSALE_REDIS_TIMEOUT_SECONDS=0.05",
        "keeper.settings.FLASHSALE_KEEPER_HOLES_SECONDS=1e1",
        "operator.settings.FLASHSALE_OPERATOR_WORKERS_MAX=",
        # Values may share one map of settings, and a keeper does not read it.
        "keeper.settings.FLASHSALE_OPERATOR_WORKERS_MAX=5000",
    ],
)
def test_number_that_a_service_accepts_is_accepted(setting: str) -> None:
    status, text = helm("--set", setting)
    assert status == 0, text
