"""The machine as far as it matters to a measurement. Nothing identifies its owner."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("uvicorn", "starlette", "uvloop", "httptools", "redis", "aio-pika", "asyncpg", "msgspec")


def describe() -> dict[str, str]:
    return {
        "cpus": str(os.cpu_count()),
        "cpu": _field(Path("/proc/cpuinfo"), "model name"),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")
