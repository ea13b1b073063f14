"""The metrics of this process in the format that a scraper requests: OpenMetrics with exemplars, or the older text format."""

from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

# Otherwise each counter and histogram has a second series with its start time, which nothing reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


OPEN_METRICS = "application/openmetrics-text"


def is_open_metrics(accept: str) -> bool:
    """Whether the Accept header of a scraper names OpenMetrics. The rest of the header is ignored."""
    return OPEN_METRICS in accept


def expose(open_metrics: bool) -> tuple[bytes, str]:
    """(body, content type) of all metrics."""
    encode, content_type = choose_encoder(OPEN_METRICS if open_metrics else "")
    return encode(REGISTRY), content_type
