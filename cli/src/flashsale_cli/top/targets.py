"""Where the services' metrics are: named by the caller, else by the settings."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from flashsale_cli.environment import CliEnvironment
from flashsale_cli.top.reading import Target
from flashsale_core.errors import SettingsError

PORTS = {"order-worker": "FLASHSALE_ORDER_WORKER_PROBE_PORT", "timeout-worker": "FLASHSALE_TIMEOUT_WORKER_PROBE_PORT"}
HOST_DEFAULT = "127.0.0.1"


def targets(environment: CliEnvironment, gateway: str, named: Sequence[str] = ()) -> list[Target]:
    """The gateway's, and the workers' of the settings unless others are named. Raises SettingsError when a name is no URL."""
    others = [Target("", url) for url in map(_complete, named)]
    workers = others or [Target(service, _of_settings(environment, port)) for service, port in PORTS.items()]
    own = Target("gateway", f"{gateway}/metrics")
    # Named twice, it would be counted twice.
    return list(dict.fromkeys([own, *(target for target in workers if target.url != own.url)]))


def _complete(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise SettingsError(f"--metrics {url} is no URL such as http://127.0.0.1:9101/metrics")
    return url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/metrics"


def _of_settings(environment: CliEnvironment, variable: str) -> str:
    host, port = environment.text("FLASHSALE_PROBE_HOST", default=HOST_DEFAULT), environment.text(variable, default="")
    return f"http://{_reached_at(host)}:{port}/metrics" if port else ""


def _reached_at(host: str) -> str:
    """A host to listen on as one to connect to: every address becomes the loopback address, and IPv6 is bracketed."""
    loopback = {"0.0.0.0": HOST_DEFAULT, "::": "::1"}.get(host, host)  # noqa: S104 - looked up, not listened on
    return f"[{loopback}]" if ":" in loopback else loopback
