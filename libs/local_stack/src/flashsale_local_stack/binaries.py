"""Finds the servers that are installed on this machine; an error names the package to install."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from flashsale_local_stack.errors import StackError


def redis_server(wanted: str | None = None) -> str:
    """redis-server or valkey-server; `wanted` is a program or a path. Raises StackError if it is not installed."""
    return _find([wanted] if wanted else ["redis-server", "valkey-server"], "Redis (>= 7.0) or Valkey (>= 8)", "redis-server")


def rabbitmq_server() -> str:
    # Debian's wrapper on PATH requires the system's user; the script that it wraps runs as any user.
    return _find(["/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"], "RabbitMQ (>= 3.10)", "rabbitmq-server")


def epmd() -> str:
    return _find(["epmd", *map(str, sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd")))], "Erlang's epmd", "erlang-base")


def postgres(program: str) -> str:
    """A program of the newest Postgres on this machine. Debian keeps them outside PATH, by version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]), reverse=True)
    return _find([*map(str, versions), program], "PostgreSQL (>= 13)", "postgresql")


def _find(names: Sequence[str], what: str, package: str) -> str:
    for name in names:
        path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
        if path:
            return path
    how = f"apt-get install {package}" if shutil.which("apt-get") else f"install {what} with your package manager"
    raise StackError(f"{what} is not installed: {how} (looked for {', '.join(names)})")
