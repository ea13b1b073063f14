"""The example shop of a stack: a process on its own port."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flashsale_local_stack import free_ports, wait_until
from tests.integration.client import Client

START_SECONDS = 90.0
END_SECONDS = 90.0


@contextmanager
def shop_on(env: Mapping[str, str], folder: Path, **more: str) -> Iterator[Client]:
    """A shop with these environment variables and its files in `folder`, which answers, and is ended with the block."""
    port = int(more.get("SHOP_PORT", free_ports(1)[0]))
    url = f"http://127.0.0.1:{port}"
    own = {"SHOP_PORT": str(port), "SHOP_URL": url, "SHOP_DATABASE": str(folder / "shop.sqlite")}
    log = folder / "shop.log"
    with log.open("wb") as out:
        settings = os.environ | env | own | more
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.shop"], env=settings, cwd=Path(__file__).parents[2], stdout=out, stderr=out
        )
        try:
            client = Client({**env, "FLASHSALE_URL": url})
            assert wait_until(lambda: _answers(client), START_SECONDS), log.read_text()
            yield client
        finally:
            process.terminate()
            process.wait(END_SECONDS)
    assert "Traceback" not in log.read_text()


def _answers(shop: Client) -> bool:
    try:
        return shop.get("/").status == 200
    except OSError:
        return False
