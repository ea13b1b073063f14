"""A process' metrics as a scraper asks for them: OpenMetrics, with exemplars, or the older text format."""

from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

# A second series for each, telling when it began: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


OPEN_METRICS = "application/openmetrics-text"


def is_open_metrics(accept: str) -> bool:
    """Whether the Accept header of a scraper asks for OpenMetrics. No more of it counts: it may say what it likes."""
    return OPEN_METRICS in accept


def expose(open_metrics: bool) -> tuple[bytes, str]:
    """(body, content type)"""
    encode, content_type = choose_encoder(OPEN_METRICS if open_metrics else "")
    return encode(REGISTRY), content_type
