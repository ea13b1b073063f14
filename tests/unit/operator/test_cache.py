"""What the operator caches about a resource between two reconciliations."""

from flashsale_operator.cache import OBSERVED_AFTER_SECONDS, ResourceCache
from tests.unit.operator.test_operator_plan import RESOURCE

OLD = {"phase": "Live", "stock": {"sold": 1}}
SOLD = {"phase": "Live", "stock": {"sold": 2}}
PAUSED = {"phase": "Paused", "stock": {"sold": 2}}


def test_stock_numbers_alone_are_written_once_per_interval() -> None:
    cached = ResourceCache().get_or_add(RESOURCE, OLD)
    cached.stock_written_at = 100.0
    assert [cached.needs_write(SOLD, now, 10) for now in (100.0, 109.9, 110.0)] == [False, False, True]
    assert cached.needs_write(PAUSED, 100.0, 10)
    assert not cached.needs_write(dict(OLD), 1000.0, 10)


def test_written_status_that_is_never_observed_is_written_again() -> None:
    cache = ResourceCache()
    cached = cache.get_or_add(RESOURCE, OLD)
    cached.status, cached.stock_written_at = PAUSED, 100.0
    cached.adopt_observed(100.0 + OBSERVED_AFTER_SECONDS)
    assert cached.status == PAUSED
    cached.adopt_observed(101.0 + OBSERVED_AFTER_SECONDS)
    assert cached.needs_write(PAUSED, 101.0, float("inf"))
    cache.observe(RESOURCE.uid, 3, PAUSED)
    cached.adopt_observed(102.0 + OBSERVED_AFTER_SECONDS)
    assert not cached.needs_write(PAUSED, 102.0, 0)


def test_observing_an_unknown_resource_does_not_add_it() -> None:
    cache = ResourceCache()
    cache.observe("other", 1, OLD)
    cache.remove("other")
    assert cache.resources() == []


def test_field_that_an_older_crd_prunes_is_not_written_again() -> None:
    cached = ResourceCache().get_or_add(RESOURCE, {})
    cached.status = {"phase": "Live", "controllerName": "shop.one"}
    cached.observed_status = {"phase": "Live"}
    cached.adopt_observed(now=1_000.0)
    assert not cached.needs_write({"phase": "Live", "controllerName": "shop.one"}, 1_000.0, 0)
    assert cached.needs_write({"phase": "Ended", "controllerName": "shop.one"}, 1_000.0, 0)
