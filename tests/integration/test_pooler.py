"""Postgres behind PgBouncer in transaction mode, where each transaction may run on another connection."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from flashsale_audit.audit_all import Options
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.migrations import migrate
from flashsale_core.errors import Retryable
from flashsale_core.messages import OrdersReserved, ReservedLine
from flashsale_local_stack import free_ports
from flashsale_local_stack.servers import postgres_user_command
from flashsale_notifier.database import Database
from flashsale_order_worker.plan import Rows, plan
from flashsale_order_worker.repository import Repository
from tests.integration.broker import until
from tests.integration.ledger import open_ledger

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".bootstrap/pgbouncer"
NAME = "pooled"
SETTINGS = """
[databases]
flashsale = host=127.0.0.1 port={server} dbname={database} user={user} password={password} application_name={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""


@pytest.fixture(scope="module")
def pooled(infra: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DATABASE_URL through a PgBouncer with two connections."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", str(UNPACKED / "usr/sbin")])
    binary = shutil.which("pgbouncer", path=path)
    if binary is None:
        pytest.skip("PgBouncer is not installed (scripts/servers.sh test)")
    with _running(binary, infra["DATABASE_URL"]) as url:
        yield url


@contextmanager
def _running(binary: str, database_url: str) -> Iterator[str]:
    url, (port,) = urlsplit(database_url), free_ports(1)
    folder = Path(f"/var/tmp/flashsale-pooler-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        ini = folder / "pgbouncer.ini"
        ini.write_text(SETTINGS.format(
            server=url.port, database=url.path.strip("/"), user=url.username, password=url.password, name=NAME, port=port
        ))  # fmt: skip
        libraries = os.pathsep.join(map(str, {library.parent for library in UNPACKED.glob("**/*.so*")}))
        environment = {**os.environ, "LD_LIBRARY_PATH": libraries} if binary.startswith(str(UNPACKED)) else None
        process = subprocess.Popen([*postgres_user_command(), binary, "-q", str(ini)], env=environment, cwd="/")
        try:
            asyncio.run(until(lambda: _answers(port)))
            yield f"postgresql://anybody@127.0.0.1:{port}/flashsale"
        finally:
            process.terminate()
            process.wait(10)
    finally:
        shutil.rmtree(folder)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def rows(*order_ids: str) -> Rows:
    lines = [ReservedLine(order_id, "ann", 1) for order_id in order_ids]
    return plan([("1-0", OrdersReserved(v=1, sale="shoe", epoch=7, at=1_000, deadline=5_000, orders=lines))])


async def end_servers(database_url: str) -> None:
    """End the pooler's connections to Postgres but not its clients': the next statement gets a new one."""
    connection = await asyncpg.connect(database_url)
    try:
        query = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = $1"
        assert await connection.fetch(query, NAME)
    finally:
        await connection.close()


async def test_ledger_is_written_and_read_through_a_pooler(infra: Mapping[str, str], pooled: str) -> None:
    workers = [Repository(pooled, 10, 0.05, statement_cache=0) for _ in range(3)]
    async with open_ledger(infra["DATABASE_URL"]) as ledger:
        for turn in range(5):
            batches = [worker.write(rows(f"o{turn}{n}a", f"o{turn}{n}b")) for n, worker in enumerate(workers)]
            await asyncio.gather(*batches, *[worker.check_schema() for worker in workers], *[worker.open_refunds() for worker in workers])
        assert await ledger.count() == 30
    for worker in workers:
        await worker.close()


async def test_notifier_reads_the_ledger_through_a_pooler(pooled: str) -> None:
    database = Database(pooled, 10, 0.05, 0, "flashsale")
    try:
        await database.check_schema()
        assert await database.run("backlog") == []
    finally:
        await database.close()


async def test_lost_prepared_statement_names_the_setting(infra: Mapping[str, str], pooled: str) -> None:
    worker = Repository(pooled, 10, 0.05)
    async with open_ledger(infra["DATABASE_URL"]):
        await worker.write(rows("o1"))
        await end_servers(infra["DATABASE_URL"])
        with pytest.raises(Retryable, match=r"prepared statement .* does not exist \(.* FLASHSALE_DATABASE_STATEMENT_CACHE=0\)"):
            await _write_until_a_statement_is_lost(worker)
    await worker.close()


async def _write_until_a_statement_is_lost(worker: Repository) -> None:
    for number in range(9):
        try:
            await worker.write(rows(f"p{number}"))
        except Retryable as error:
            # The pooler may not have noticed yet that its connection is closed.
            if "prepared statement" in str(error):
                raise


async def test_migrations_and_audit_leave_no_state_in_a_pooler(infra: Mapping[str, str], pooled: str) -> None:
    result = await migrate(pooled, ROOT / "db")
    assert result.applied == []
    await audit_stores(CliEnvironment({**infra, "DATABASE_URL": pooled}, Path("none")), Options())
    worker = Repository(pooled, 10, 0.05, statement_cache=0)
    async with open_ledger(infra["DATABASE_URL"]) as ledger:
        # A lock left in a session would block this, and a session left read-only would refuse the rows.
        await asyncio.gather(migrate(pooled, ROOT / "db"), migrate(infra["DATABASE_URL"], ROOT / "db"))
        await asyncio.gather(*[worker.write(rows(f"o{number}")) for number in range(4)])
        assert await ledger.count() == 4
    await worker.close()
