"""One scrape's samples, by name and labels."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
"""Sorted, so that the same labels are the same key."""
Samples = Mapping[str, Mapping[Labels, float]]
"""Sample name -> labels -> value. A metric that nothing was counted for yet has its name and no series: that is 0, not unknown."""

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_STARTED = "process_start_time_seconds"


def parse(text: str) -> Samples:
    """Raises ValueError when `text` is not Prometheus' text format."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for suffix in _SUFFIXES.get(family.type, ("",)):
            found.setdefault(family.name + suffix, {})
        for sample in family.samples:
            found.setdefault(sample.name, {})[labels_of(sample.labels)] = float(sample.value)
    return found


def labels_of(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def started_at(samples: Samples) -> float | None:
    """When the process began, Unix time: what tells it from the one before it. None where the system does not say."""
    return samples.get(_STARTED, {}).get(())
