"""A process' metrics as a scraper asks for them: OpenMetrics, with exemplars, or the older text format."""

from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

# A second series for each, telling when it began: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


def expose(accept: str) -> tuple[bytes, str]:
    """(body, content type) for the Accept header of a scraper."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
