"""A second version of the FlashSale resource."""

import time

from tests.e2e.kube import Namespace, flash_sale, numbers, report, until
from tests.e2e.versions import NEW, OLD, migrate, second_version, stored_versions


def test_second_version_of_the_resource_is_served_and_stored(shop: Namespace) -> None:
    """The operator, which reads the old version, and clients of both versions see the same FlashSales before and after the migration."""
    shop.apply(flash_sale("of-old", 10))
    until(lambda: shop.ready("of-old"), 10, "Ready")
    started = time.monotonic()
    with second_version(shop):
        assert stored_versions() == [OLD, NEW]
        shop.apply(flash_sale("of-new", 10) | {"apiVersion": f"flashsale.dev/{NEW}"})
        shop.patch("of-old", stock=20)
        until(lambda: shop.ready("of-new") and shop.ready("of-old"), 90, "both are Ready")
        migrate(shop, NEW)
        assert stored_versions() == [NEW]
        listed = {version: shop.get(f"flashsales.{version}.flashsale.dev")["items"] for version in (OLD, NEW)}
        assert {item["apiVersion"] for item in listed[NEW]} == {f"flashsale.dev/{NEW}"}
        assert [item["spec"] for item in listed[OLD]] == [item["spec"] for item in listed[NEW]]
        shop.patch("of-new", stock=30)
        until(lambda: numbers(shop.sale("of-new")) == (30, 30, 0, 0), 90, "an edit after the migration is seen")
    report("second version served, stored, migrated and given up", seconds=f"{time.monotonic() - started:.1f}")
    assert stored_versions() == [OLD]
    shop.patch("of-new", stock=40)
    until(lambda: numbers(shop.sale("of-new")) == (40, 40, 0, 0), 90, "an edit after the way back is seen")
