"""The statements of queries.sql by the name above each."""

import re
from pathlib import Path

_TEXT = (Path(__file__).parent / "queries.sql").read_text()
_PARTS = re.split(r"^-- name: (\w+)\n", _TEXT, flags=re.MULTILINE)
QUERIES = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))
