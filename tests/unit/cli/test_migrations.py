"""Reading migrations and planning those to apply, before the database is touched."""

from pathlib import Path

import pytest

from flashsale_cli.migrations import Applied, Migration, MigrationError, Phase, newer, plan, read_migrations
from flashsale_order_worker.repository import SCHEMA_VERSION

DB = Path(__file__).parents[3] / "db"
ONE = Migration(1, "pre", "one", "select 1")
TWO = Migration(2, "post", "two", "select 2")
THREE = Migration(3, "pre", "three", "select 3")


def applied(*migrations: Migration) -> list[Applied]:
    return [Applied(migration.version, migration.name, migration.sha256) for migration in migrations]


def folder(tmp_path: Path, *names: str) -> Path:
    (tmp_path / "migrations").mkdir()
    for name in names:
        (tmp_path / "migrations" / name).write_text("select 1")
    return tmp_path


def test_order_worker_requires_the_newest_pre_migration() -> None:
    assert max(migration.version for migration in read_migrations(DB) if migration.phase == "pre") == SCHEMA_VERSION


def test_migrations_are_read_in_order(tmp_path: Path) -> None:
    migrations = read_migrations(folder(tmp_path, "0002_post_b_c.sql", "0001_pre_a.sql"))
    assert migrations == [Migration(1, "pre", "a", "select 1"), Migration(2, "post", "b_c", "select 1")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "FLASHSALE_DB_DIR"),
        (("0001_pre_a.sql", "0003_pre_c.sql"), "found 1, 3"),
        (("0001_pre_a.sql", "0001_post_b.sql"), "found 1, 1"),
        (("0001_later_a.sql",), "0001_later_a.sql is not named"),
    ],
)
def test_folder_with_wrong_numbers_or_names_is_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(MigrationError, match=message):
        read_migrations(folder(tmp_path, *names))


@pytest.mark.parametrize(
    ("done", "phase", "wanted"),
    [
        ((), "all", [ONE, TWO, THREE]),
        ((ONE,), "all", [TWO, THREE]),
        ((ONE, TWO, THREE), "all", []),
        ((ONE,), "post", [TWO]),
        ((ONE, TWO), "pre", [THREE]),
        ((ONE, TWO), "post", []),
    ],
)
def test_missing_migrations_are_planned_by_phase(done: tuple[Migration, ...], phase: Phase, wanted: list[Migration]) -> None:
    assert plan([ONE, TWO, THREE], applied(*done), phase) == wanted


def test_one_phase_never_overtakes_the_other() -> None:
    with pytest.raises(MigrationError, match=r"migration 2 \(post two\) must come before 3"):
        plan([ONE, TWO, THREE], applied(ONE), "pre")
    with pytest.raises(MigrationError, match=r"migration 1 \(pre one\) must come before 2"):
        plan([ONE, TWO], [], "post")


def test_changed_migration_is_refused() -> None:
    changed = Migration(1, "pre", "one", "select 11")
    with pytest.raises(MigrationError, match="changed after it was applied"):
        plan([changed, TWO], applied(ONE), "all")


@pytest.mark.parametrize("phase", ["pre", "post", "all"])
def test_database_of_a_newer_release_needs_nothing(phase: Phase) -> None:
    # After a rollback: older code works with what newer releases add.
    done = applied(ONE, TWO, THREE)
    assert (plan([ONE, TWO], done, phase), newer([ONE, TWO], done), newer([ONE, TWO, THREE], done)) == ([], 3, None)


def test_gap_left_by_a_newer_release_is_refused() -> None:
    with pytest.raises(MigrationError, match="has migration 3, which this release does not know, and lacks 2"):
        plan([ONE, TWO], applied(ONE, THREE), "all")
