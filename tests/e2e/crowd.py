"""A crowd that orders from a sale in the cluster while a test does something to it. Then the rest is sold, and the sale is audited."""

import json
import math
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.buyers import ENVIRONMENT
from tests.e2e.kube import CommandError, Namespace, last_json, numbers, until

BUYERS = Path(__file__).with_name("buyers.py")
PER_SECOND = 60
LANES = 40
REST = 3000
"""How many units those who come at the end may buy: more than the crowd buys until it stops."""


@dataclass(frozen=True)
class CrowdReport:
    """What the buyers observed. Times are Unix seconds of the pod's clock."""

    outcomes: Mapping[str, int]
    bare_503: int
    gaps: list[tuple[float, float]]
    accepted_in_second: Mapping[int, int]
    differences: Mapping[str, int]
    """What the audit found, by kind, if the crowd was started with `may_lose`; empty otherwise."""

    @property
    def accepted(self) -> int:
        return self.outcomes.get("accepted", 0)

    @property
    def errors(self) -> dict[str, int]:
        """Requests that failed or got a 5xx answer other than 503, by outcome."""
        return errors(self.outcomes)

    def accepted_between(self, begin: float, end: float) -> int:
        return sum(count for second, count in self.accepted_in_second.items() if begin <= second <= end)

    def recovery(self, fault_at: float, over_at: float = math.inf) -> dict[str, str]:
        """The time from the fault to the first order accepted after the longest gap that began before `over_at`, and that gap's length."""
        longest, end = self._longest_gap(fault_at, over_at)
        if not longest:
            return {"first_order_after_seconds": "below 1"}
        return {"first_order_after_seconds": f"{end - fault_at:.1f}", "without_orders_seconds": f"{longest:.1f}"}

    def recovery_seconds(self, fault_at: float, over_at: float = math.inf) -> float:
        """The time from the fault to the end of the longest gap that began before `over_at`; 0 without a gap of a second."""
        _, end = self._longest_gap(fault_at, over_at)
        return end - fault_at

    def _longest_gap(self, fault_at: float, over_at: float) -> tuple[float, float]:
        """(length in seconds, end) of the longest gap that was there between both times; (0, `fault_at`) if there is none."""
        gaps = ((end - begin, end) for begin, end in self.gaps if end > fault_at and begin < over_at)
        return max(gaps, default=(0.0, fault_at))


@dataclass(frozen=True)
class Progress:
    """What the buyers observed so far."""

    accepted: int = 0
    last_at: float = 0.0
    """When the last order was accepted, in Unix seconds of the pod's clock."""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    gaps: list[list[float]] = field(default_factory=list)
    """(begin, end) of each time without an accepted order that was longer than a second."""
    refusing: list[list[float]] = field(default_factory=list)
    """The gaps in which an order was refused."""


def errors(outcomes: Mapping[str, int]) -> dict[str, int]:
    """Requests that failed or got a 5xx answer other than 503, by outcome."""
    return {outcome: count for outcome, count in outcomes.items() if outcome.startswith(("error", "5")) and outcome[:3] != "503"}


class Crowd:
    """A crowd that orders from `start` until `stop`. Orders are accepted all the time, unless something prevents it."""

    def __init__(
        self, shop: Namespace, product: str, *, per_second: float = PER_SECOND, lanes: int = LANES, may_lose: bool = False
    ) -> None:
        """`lanes` buyers at most wait at the same time. With `may_lose` the differences of the audit are reported and do not fail."""
        self.shop = shop
        self.product = product
        self.per_second = per_second
        self.lanes = lanes
        self.may_lose = may_lose

    def start(self, buyers_at_the_end: int = 0) -> "Crowd":
        """`buyers_at_the_end` order all at once after `stop`, so that the rest is sold."""
        identity = "${FLASHSALE_SERVICE_KEYS:+--identity service}"
        rest = (
            f"flashsale load --product {self.product} --buyers {buyers_at_the_end} --connections 200 {identity} "
            "--orders-out /tmp/orders.rest --json"
        )
        script = (
            f"cat > /tmp/buyers.py <<'END'\n{BUYERS.read_text()}\nEND\n"
            f"python /tmp/buyers.py {self.product} {self.per_second} {self.lanes}\n"
            f"[ ! -e {ENVIRONMENT} ] || . {ENVIRONMENT}\n"
            + (f"{rest} | tr -d '\\n'; echo\n" if buyers_at_the_end else "")
            + f"cat /tmp/orders.* > /tmp/orders; flashsale audit {self.product} --wait-seconds 90 --expect-accepted /tmp/orders"
            + (" --json || true" if self.may_lose else "")
        )
        self.shop.start_cli(self.product, script)
        until(lambda: self.progress().accepted > 0, 60, f"the crowd gets its first order of {self.product}")
        return self

    def progress(self) -> Progress:
        written = self._in_pod("cat /tmp/progress")
        return Progress(**json.loads(written)) if written.startswith("{") else Progress()

    def replace(self, secrets: Mapping[str, str]) -> None:
        """Go on with new values of secrets, by their old ones, as a Job that starts now would."""
        lines = self._in_pod("env").splitlines()
        changed = [re.sub("|".join(map(re.escape, secrets)), lambda match: secrets[match[0]], line) for line in lines]
        script = "export " + " ".join(shlex.quote(line) for line in changed if line not in lines)
        # The buyers must never find half of it.
        self._in_pod(f"echo {shlex.quote(script)} >{ENVIRONMENT}.new && mv {ENVIRONMENT}.new {ENVIRONMENT}")

    def now(self) -> float:
        """Unix seconds by the pod's clock."""
        return float(self._in_pod("date +%s.%N").strip())

    def wait_for_order(self, timeout_seconds: float = 60) -> float:
        """Wait until an order is accepted after now; returns the seconds it took."""
        since = self.now()
        return until(lambda: self.progress().last_at > since, timeout_seconds, f"orders of {self.product} are accepted")

    def leave(self, units: int) -> int:
        """Lower the stock so that only this many units are left, and soon sold after `stop`; returns the stock."""
        total, available, *_ = numbers(self.shop.sale(self.product))
        stock = total - available + units
        self.shop.patch(self.product, stock=stock)
        until(lambda: self.shop.ready(self.product), 20, f"{self.product} is Ready with a stock of {stock}")
        return stock

    def stop(self) -> CrowdReport:
        self._in_pod("touch /tmp/stop")
        job = self.shop.finish_cli(self.product)
        assert job.succeeded, job.logs
        report = json.loads(next(line for line in job.logs.splitlines() if line.startswith('{"outcomes"')))
        return CrowdReport(
            report["outcomes"],
            report["bare_503"],
            [(begin, end) for begin, end in report["gaps"]],
            {int(second): count for second, count in report["accepted_in_second"].items()},
            {each["kind"]: each["count"] for each in last_json(job.logs)["differences"]} if self.may_lose else {},
        )

    def _in_pod(self, command: str) -> str:
        """Run a command in the crowd's pod. A busy apiserver may refuse it for a moment."""
        for _ in range(5):
            try:
                return self.shop.kubectl("exec", f"job/{self.product}", "--", "sh", "-c", f"{command} || true")
            except CommandError:
                time.sleep(0.5)
        return ""


def wait_until_sold_out(shop: Namespace, name: str, stock: int) -> None:
    """Wait until all units are held, and no more."""
    # An order whose answer was lost holds units as well, although no client can name it.
    until(lambda: numbers(shop.sale(name)) == (stock, 0, stock, 0), 60, f"{name} is sold out with exactly {stock} units", every_seconds=1)
