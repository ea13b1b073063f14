"""`python -m tests.unit.frozen.bounds`: write into the chart which numbers each service accepts, so that helm refuses others.

Without that, a number beyond its limit passes the chart, and its pods end at their start.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import yaml

from flashsale_core.settings import Environment
from tests.unit.frozen import places
from tests.unit.frozen.collect import REQUIRED

T = TypeVar("T")
FILE = places.CHART / "files" / "settings.yaml"
Bounds = dict[str, dict[str, dict[str, Any]]]
"""By the service's key in the chart's values and the variable: `least` and `most`, and whether it must be a `whole` number."""


class _Recording(Environment):
    """Remembers between which numbers each variable must lie."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.bounds: dict[str, dict[str, Any]] = {}

    def _number(self, name: str, default: T, parse: Callable[[str], T], words: str, least: float, most: float) -> T:
        before = self.bounds.get(name, {"whole": False, "least": least, "most": most})
        whole = before["whole"] or parse is int
        self.bounds[name] = {"whole": whole, "least": max(before["least"], least), "most": min(before["most"], most)}
        return super()._number(name, default, parse, words, least, most)


def bounds() -> Bounds:
    """Of every number that a service reads as one of its own variables."""
    services = {}
    for module in places.SETTINGS:
        recording = _Recording(REQUIRED | {"FLASHSALE_LUA_DIR": str(places.LUA)})
        importlib.import_module(module).read_settings(recording)
        services[_value_of(module)] = dict(sorted(recording.bounds.items()))
    return services


def in_chart() -> Any:
    """The bounds as the chart has them."""
    return yaml.safe_load(FILE.read_text()).get("bounds")


def write() -> None:
    kept = FILE.read_text().partition("bounds:\n")[0]
    lines = ["bounds:"]
    for service, variables in bounds().items():
        lines.append(f"  {service}:")
        lines += [f"    {name}: {_flow(bound)}" for name, bound in variables.items()]
    FILE.write_text(kept + "\n".join(lines) + "\n")


def _value_of(module: str) -> str:
    """`flashsale_order_worker.settings` -> `orderWorker`."""
    words = module.split(".")[0].removeprefix("flashsale_")
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), words)


def _flow(bound: Mapping[str, Any]) -> str:
    # A number such as 1e9 is written in full: YAML would read 1e9 as a text.
    least, most = (int(number) if number == int(number) else number for number in (bound["least"], bound["most"]))
    return f"{{ whole: {str(bound['whole']).lower()}, least: {least}, most: {most} }}"


if __name__ == "__main__":
    write()
