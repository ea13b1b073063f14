"""The statements of queries.sql by the name above each."""

from pathlib import Path

from flashsale_core.named_queries import named_queries

QUERIES = named_queries((Path(__file__).parent / "queries.sql").read_text())
