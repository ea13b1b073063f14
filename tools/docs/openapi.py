"""`python -m tools.docs.openapi`: write docs/api from the code: the OpenAPI document of each audience and service, with the default limits.

With --check it writes nothing and exits with 1 when a document differs from what would be written.
With --release it also writes docs/api/released, which later documents may only add to (decision 0052).
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from flashsale_core.topology import WINDOWS_DEFAULT
from flashsale_gateway.http import openapi
from flashsale_gateway.http.operations import Audience
from flashsale_gateway.settings import QUANTITY_MAX_DEFAULT
from flashsale_ledger_api import openapi as ledger_openapi
from tools.repository import ROOT

FOLDER = ROOT / "docs" / "api"
RELEASED = FOLDER / "released"
DOCUMENTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "openapi.json": partial(openapi.document, Audience.SHOPS, QUANTITY_MAX_DEFAULT, WINDOWS_DEFAULT),
    "admin.openapi.json": partial(openapi.document, Audience.ADMINISTRATION, QUANTITY_MAX_DEFAULT, WINDOWS_DEFAULT),
    "ledger-api.openapi.json": ledger_openapi.document,
}
"""The document of each file: two audiences of the gateway, and the ledger-api."""


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
    return ((folder / name, json.dumps(document(), indent=2) + "\n") for name, document in DOCUMENTS.items())


if __name__ == "__main__":
    sys.exit(main())
