"""`python -m tools.docs.openapi`: write docs/api from the code: the OpenAPI document of each audience, with the default limits.

With --check it writes nothing and exits with 1 when a document differs from what would be written.
With --release it also writes docs/api/released, which later documents may only add to (decision 0052).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flashsale_core.topology import WINDOWS_DEFAULT
from flashsale_gateway.http import openapi
from flashsale_gateway.http.operations import Audience
from flashsale_gateway.settings import QUANTITY_MAX_DEFAULT
from tools.repository import ROOT

FOLDER = ROOT / "docs" / "api"
RELEASED = FOLDER / "released"
FILES = {Audience.SHOPS: "openapi.json", Audience.ADMINISTRATION: "admin.openapi.json"}


def main() -> int:
    folders = (FOLDER, RELEASED) if "--release" in sys.argv else (FOLDER,)
    if "--check" in sys.argv:
        return int(any(not file.exists() or file.read_text() != text for file, text in rendered(FOLDER)))
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for file, text in rendered(folder):
            file.write_text(text)
    return 0


def rendered(folder: Path) -> Iterator[tuple[Path, str]]:
    return ((folder / FILES[audience], json.dumps(document(audience), indent=2) + "\n") for audience in Audience)


def document(audience: Audience) -> dict[str, Any]:
    return openapi.document(audience, QUANTITY_MAX_DEFAULT, WINDOWS_DEFAULT)


if __name__ == "__main__":
    sys.exit(main())
