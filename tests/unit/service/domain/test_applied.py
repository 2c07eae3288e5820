import pytest

from service.domain.applied import Applied, Progress, before, forward, name_of, progress, together
from service.domain.catalog import Catalog, VersionTable
from service.domain.keys import FileChange


def added(path: str, text: str = "SELECT 1;", change: str = "added") -> FileChange:
    return FileChange(path=path, change=change, text=text)


def revision(name: str, *parents: str) -> FileChange:
    down = "None" if not parents else f'"{parents[0]}"' if len(parents) == 1 else "(" + ", ".join(f"'{one}'" for one in parents) + ")"
    text = f'"""x"""\nfrom typing import Union\nrevision: str = "{name}"\ndown_revision: Union[str, None] = {down}\ndef upgrade():\n    revision = "not this"\n'
    return added(f"alembic/versions/{name}_x.py", text)


def holds(tool: str, *names: str) -> VersionTable:
    return VersionTable(tool=tool, table="public.versions", names=frozenset(names))


@pytest.mark.parametrize(
    ("tool", "path", "name"),
    [
        ("Django", "shop/orders/migrations/0042_region.py", "orders.0042_region"),
        ("Django", "migrations/0042_region.py", None),
        ("Flyway", "db/V42.1__region.sql", "V42.1__region.sql"),
        ("golang-migrate", "db/migrations/000042_region.up.sql", "42"),
        ("Rails or dbmate", "db/migrate/20260101000000_region.rb", "20260101000000"),
        ("goose", "migrations/00042_region.sql", "42"),
        ("goose", "migrations/region.sql", None),
        ("Prisma", "prisma/migrations/20260101_region/migration.sql", "20260101_region"),
        ("Atlas", "migrations/20260101000000.sql", "20260101000000"),
        ("sqitch", "deploy/shop/region.sql", "shop/region"),
        ("Entity Framework", "Migrations/20260101000000_Region.cs", "20260101000000_Region"),
        ("knex", "migrations/20260101000000_region.js", "20260101000000_region.js"),
        ("TypeORM", "migrations/1700000000000-Region.ts", "1700000000000"),
        ("Sequelize", "migrations/20260101000000-region.js", "20260101000000-region.js"),
        ("diesel", "migrations/2026-01-01-000000_region/up.sql", "20260101000000"),
        ("diesel", "migrations/region/up.sql", None),
        ("sqlx", "migrations/20260101000000_region.sql", "20260101000000"),
        ("refinery", "migrations/V42__region.sql", "42"),
    ],
)
def test_a_file_has_the_name_that_its_tool_writes_down(tool: str, path: str, name: str | None) -> None:
    assert name_of(tool, added(path)) == name


def test_the_name_of_an_alembic_revision_stands_in_its_text() -> None:
    assert name_of("Alembic", revision("ae10")) == "ae10"
    assert name_of("Alembic", added("alembic/versions/x.py", "revision = compute()")) is None


def test_only_new_files_that_are_applied_going_forward_can_have_run() -> None:
    up, down = added("db/migrations/1_a.up.sql"), added("db/migrations/1_a.down.sql")
    changed, log = added("db/migrations/0_z.up.sql", change="modified"), added("db/changelog/a.xml", change="modified")
    assert forward([up, down, changed, log, added("shop/cart.py"), added("schema.prisma"), added("db/changelog/b.xml", change="deleted")]) == (up, log)


ONE, TWO = added("shop/migrations/0002_b.py"), added("shop/migrations/0003_c.py")


def test_a_table_that_holds_every_name_is_compared_as_a_set() -> None:
    then, now = holds("Django", "shop.0001_a", "auth.0001_x"), holds("Django", "shop.0001_a", "shop.0002_b", "blog.0001_y")
    assert progress(then, now, (ONE, TWO)) == Progress(ran=(ONE.path,), waiting=(TWO.path,), strange=("blog.0001_y",), gone=("auth.0001_x",))


def test_names_that_nobody_can_tell_are_neither_run_nor_waiting() -> None:
    lost = added("migrations/0002_b.py")
    assert progress(holds("Django"), holds("Django"), (lost,)) == Progress(unnamed=(lost.path,))


R1, R2, MERGE = revision("r1", "r0"), revision("r2", "r1"), revision("m", "r2", "side")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (("r0",), Progress(waiting=(R1.path, R2.path))),
        (("r1",), Progress(ran=(R1.path,), waiting=(R2.path,))),
        (("r2",), Progress(ran=(R1.path, R2.path))),
        (("other",), Progress(waiting=(R1.path, R2.path), strange=("other",), gone=("r0",))),
        (("r2", "other"), Progress(ran=(R1.path, R2.path), strange=("other",))),
    ],
)
def test_alembic_writes_down_heads_alone_and_what_they_rest_on_has_run(now: tuple[str, ...], expected: Progress) -> None:
    assert progress(holds("Alembic", "r0"), holds("Alembic", *now), (R1, R2)) == expected


def test_alembics_merge_rests_on_both_of_its_parents() -> None:
    found = progress(holds("Alembic", "r0", "side"), holds("Alembic", "m"), (R1, R2, MERGE))
    assert found == Progress(ran=tuple(sorted((R1.path, R2.path, MERGE.path))))


def test_revisions_that_name_each_other_in_a_circle_end() -> None:
    found = progress(holds("Alembic"), holds("Alembic", "a"), (revision("a", "b"), revision("b", "a")))
    assert len(found.ran) == 2


SEVEN, EIGHT = added("db/migrations/7_g.up.sql"), added("db/migrations/8_h.up.sql")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("6", Progress(waiting=(SEVEN.path, EIGHT.path))),
        ("7", Progress(ran=(SEVEN.path,), waiting=(EIGHT.path,))),
        ("8", Progress(ran=(SEVEN.path, EIGHT.path))),
        ("9", Progress(ran=(SEVEN.path, EIGHT.path), strange=("9",))),
        ("5", Progress(waiting=(SEVEN.path, EIGHT.path), strange=("5",), gone=("6",))),
    ],
)
def test_golang_migrate_writes_down_the_last_number_alone(now: str, expected: Progress) -> None:
    assert progress(holds("golang-migrate", "6"), holds("golang-migrate", now), (SEVEN, EIGHT)) == expected


def test_liquibases_changes_belong_to_the_file_that_they_name() -> None:
    log, other = added("src/main/resources/db/changelog/b.xml"), added("src/main/resources/db/changelog/c.xml")
    then = holds("Liquibase", "db/changelog/a.xml::1::ann")
    now = holds("Liquibase", *then.names, "classpath:db/changelog/b.xml::2::ann", "elsewhere/d.xml::3::bob")
    assert progress(then, now, (log, other)) == Progress(ran=(log.path,), waiting=(other.path,), strange=("elsewhere/d.xml::3::bob",))


def test_a_migration_of_several_databases_ran_where_one_says_so() -> None:
    told = [Progress(ran=(ONE.path,), waiting=(TWO.path,)), Progress(ran=(TWO.path,), waiting=(ONE.path,))]
    assert together(told, [holds("Django")], (ONE, TWO)) == Applied(ran=frozenset({ONE.path, TWO.path}))
    assert together(told[:1], [holds("Django")], (ONE, TWO)).waiting == {TWO.path}


def test_a_tool_without_a_version_table_is_missed_unless_a_folder_alone_says_that_it_is_the_tool() -> None:
    numbered = added("db/migrations/0042_x.sql")
    assert together((), (), (ONE, numbered)).missing == ("Django",)
    assert together((), [holds("Django")], (ONE, numbered)).missing == ()


def test_a_table_is_compared_with_itself_and_only_where_its_rows_were_known() -> None:
    now, unread = holds("Django", "a.1"), VersionTable(tool="Django", table="public.versions", unread="Backout's role may not read it")
    assert before(Catalog(tables={}, applied=(now,)), now) == now
    assert before(Catalog(tables={}, applied=(unread,)), now) is None
    assert before(Catalog(tables={}, applied=(holds("Alembic"),)), now) is None
    assert before(Catalog(tables={}), now) is None
