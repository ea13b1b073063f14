"""Series for single FlashSales: bounded, and the ones that need a person first."""

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import Gauge

from flashsale_operator import metrics, object_metrics
from flashsale_operator.cache import CachedResource
from flashsale_operator.object_metrics import ObjectMetrics
from tests.unit.operator.test_operator_plan import RESOURCE

NOW = 1_000_000.0


@pytest.fixture(autouse=True)
def no_series_of_other_tests() -> None:
    metrics.OBJECT_CONDITION.clear()
    metrics.OBJECT_START.clear()


def cached(name: str, *, stalled: str = "", starts_in: float = 0) -> CachedResource:
    conditions = [
        {"type": "Ready", "status": str(not stalled), "reason": stalled or "Reconciled"},
        {"type": "Stalled", "status": str(bool(stalled)), "reason": stalled or "Progressing"},
        {"type": "Reconciling", "status": "False", "reason": "Reconciled"},
    ]
    starts_ms = int((NOW + starts_in) * 1000) if starts_in else 0
    resource = replace(RESOURCE, name=name, definition={**RESOURCE.definition, "starts_ms": starts_ms})
    status = {"phase": "Scheduled" if starts_in > 0 else "Live", "conditions": conditions}
    return CachedResource(resource, status, status)


def series(gauge: Gauge) -> dict[tuple[Any, ...], float]:
    (family,) = gauge.collect()
    return {tuple(sample.labels[name] for name in sample.labels if name != "resource_namespace"): sample.value for sample in family.samples}


def number(gauge: Gauge) -> float:
    (family,) = gauge.collect()
    return float(family.samples[0].value)


def test_each_condition_has_a_series_and_a_changed_reason_replaces_it() -> None:
    objects = ObjectMetrics()
    objects.update([cached("a", stalled="NotOwner")], NOW)
    assert series(metrics.OBJECT_CONDITION) == {("a", "Ready", "NotOwner"): 0, ("a", "Stalled", "NotOwner"): 1}
    objects.update([cached("a")], NOW)
    assert series(metrics.OBJECT_CONDITION) == {("a", "Ready", "Reconciled"): 1, ("a", "Stalled", "Progressing"): 0}
    objects.update([], NOW)
    assert series(metrics.OBJECT_CONDITION) == {}


def test_objects_are_bounded_and_the_stalled_ones_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_metrics, "OBJECTS_MAX", 2)
    objects = ObjectMetrics()
    objects.update([cached("a"), cached("b", starts_in=60), cached("c"), cached("d", stalled="DataLost")], NOW)
    assert {labels[0] for labels in series(metrics.OBJECT_CONDITION)} == {"d", "b"}
    assert number(metrics.OBJECTS_OMITTED) == 2
    objects.update([], NOW)


def test_next_start_is_the_nearest_of_the_scheduled_sales() -> None:
    objects = ObjectMetrics()
    objects.update([cached("a", starts_in=600), cached("b", starts_in=60), cached("c", starts_in=-5)], NOW)
    assert number(metrics.NEXT_START_SECONDS) == 60
    assert series(metrics.OBJECT_START) == {("a",): NOW + 600, ("b",): NOW + 60, ("c",): NOW - 5}
    objects.update([], NOW)
    assert number(metrics.NEXT_START_SECONDS) == float("inf")
