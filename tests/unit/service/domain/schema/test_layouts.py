import pytest

from service.domain.schema import Role, Tool, is_migration, may_carry_migrations, recognise


@pytest.mark.parametrize(
    ("path", "tool", "role"),
    [
        ("src/main/resources/db/migration/V12__drop_status.sql", Tool.FLYWAY, Role.FORWARD),
        ("db/migration/V1.2_3__x.sql", Tool.FLYWAY, Role.FORWARD),
        ("db/migration/R__views.sql", Tool.FLYWAY, Role.FORWARD),
        ("db/migration/U12__drop_status.sql", Tool.FLYWAY, Role.BACKWARD),
        ("src/main/java/db/migration/V3__Backfill.java", Tool.FLYWAY, Role.FORWARD),
        ("migrations/000012_add_status.up.sql", Tool.GOLANG_MIGRATE, Role.FORWARD),
        ("migrations/000012_add_status.down.sql", Tool.GOLANG_MIGRATE, Role.BACKWARD),
        ("migrations/00012_add_status.sql", Tool.GOOSE, Role.FORWARD),
        ("migrations/00013_backfill.go", Tool.GOOSE, Role.FORWARD),
        ("db/migrations/20260101120000_add_status.sql", Tool.DBMATE, Role.FORWARD),
        ("db/schema.sql", Tool.DBMATE, Role.SNAPSHOT),
        ("prisma/migrations/20260101120000_status/migration.sql", Tool.PRISMA, Role.FORWARD),
        ("prisma/schema.prisma", Tool.PRISMA, Role.SNAPSHOT),
        ("prisma/migrations/migration_lock.toml", Tool.PRISMA, Role.SNAPSHOT),
        ("migrations/20260101120000.sql", Tool.ATLAS, Role.FORWARD),
        ("migrations/atlas.sum", Tool.ATLAS, Role.SNAPSHOT),
        ("migrations/2026-01-01-120000_status/up.sql", Tool.DIESEL, Role.FORWARD),
        ("migrations/2026-01-01-120000_status/down.sql", Tool.DIESEL, Role.BACKWARD),
        ("migrations/20260101120000_status.sql", Tool.SQLX, Role.FORWARD),
        ("deploy/add_status.sql", Tool.SQITCH, Role.FORWARD),
        ("revert/add_status.sql", Tool.SQITCH, Role.BACKWARD),
        ("verify/add_status.sql", Tool.SQITCH, Role.BACKWARD),
        ("sqitch.plan", Tool.SQITCH, Role.SNAPSHOT),
        ("db/changelog/db.changelog-master.yaml", Tool.LIQUIBASE, Role.FORWARD),
        ("src/main/resources/changelog/0001.xml", Tool.LIQUIBASE, Role.FORWARD),
        ("db/changelog/0002.sql", Tool.LIQUIBASE, Role.FORWARD),
        ("alembic/versions/ae1027a6acf_status.py", Tool.ALEMBIC, Role.FORWARD),
        ("migrations/versions/ae1027a6acf_status.py", Tool.ALEMBIC, Role.FORWARD),
        ("config/versions/1758e8bbf6b_status.py", Tool.ALEMBIC, Role.FORWARD),
        ("database/revisions/tenant/versions/2021-05-12_3b0f5184681f.py", Tool.ALEMBIC, Role.FORWARD),
        ("alembic/env.py", Tool.ALEMBIC, Role.SETTINGS),
        ("alembic.ini", Tool.ALEMBIC, Role.SETTINGS),
        ("shop/orders/migrations/0007_remove_status.py", Tool.DJANGO, Role.FORWARD),
        ("db/migrate/20260101120000_remove_status.rb", Tool.RAILS, Role.FORWARD),
        ("db/post_migrate/20260101120000_remove_status.rb", Tool.RAILS, Role.FORWARD),
        ("db/animals_migrate/20260101120000_remove_status.rb", Tool.RAILS, Role.FORWARD),
        ("db/structure.sql", Tool.RAILS, Role.SNAPSHOT),
        ("db/schema.rb", Tool.RAILS, Role.SNAPSHOT),
        ("src/Shop/Migrations/20260101120000_RemoveStatus.cs", Tool.ENTITY_FRAMEWORK, Role.FORWARD),
        ("src/Shop/Migrations/ShopContextModelSnapshot.cs", Tool.ENTITY_FRAMEWORK, Role.SNAPSHOT),
        ("src/migrations/1767268800000-RemoveStatus.ts", Tool.TYPEORM, Role.FORWARD),
        ("src/migrations/mysql/1767268800000-RemoveStatus.ts", Tool.TYPEORM, Role.FORWARD),
        ("migrations/20260101120000-remove-status.js", Tool.SEQUELIZE, Role.FORWARD),
        ("migrations/20260101120000_remove_status.js", Tool.KNEX, Role.FORWARD),
        ("database/migrations/2026_01_01_000000_remove_status.php", Tool.GENERIC, Role.FORWARD),
        ("priv/repo/migrations/20260101120000_remove_status.exs", Tool.GENERIC, Role.FORWARD),
        ("migrations/01_remove_status.json", Tool.GENERIC, Role.FORWARD),
        ("drizzle/0007_status.sql", Tool.GENERIC, Role.FORWARD),
        ("drizzle/meta/0007_snapshot.json", Tool.GENERIC, Role.SNAPSHOT),
        ("sql/patches/status.sql", Tool.GENERIC, Role.FORWARD),
        ("migrations\\0001_windows.sql", Tool.GOOSE, Role.FORWARD),
    ],
)
def test_each_layout_is_recognised_with_its_tool_and_role(path: str, tool: Tool, role: Role) -> None:
    found = recognise(path)
    assert found is not None
    assert (found.tool, found.role) == (tool, role)
    assert is_migration(path) is tool


@pytest.mark.parametrize(
    "path",
    [
        "",
        "README.md",
        "src/orders.py",
        "shop/orders/migrations/__init__.py",
        "migrations/README.md",
        "migrations/.gitkeep",
        "src/test/resources/db/migration/V1__x.sql",
        "tests/migrations/0001_initial.py",
        "db/queries/orders.sql",
        "src/report.sql",
        "deploy/chart.yaml",
        "docs/changelog.md",
        "db/seeds.rb",
        "api/versions/decadeface_status.py",
        "api/versions/latest.py",
    ],
)
def test_other_files_are_no_migrations(path: str) -> None:
    assert is_migration(path) is None


def test_files_of_one_tool_in_one_tree_share_a_root() -> None:
    first = recognise("services/shop/migrations/2026-01-01_a/up.sql")
    second = recognise("services/shop/migrations/2026-02-01_b/up.sql")
    other = recognise("services/mail/migrations/2026-02-01_b/up.sql")
    assert first is not None
    assert second is not None
    assert other is not None
    assert first.root == second.root == "services/shop/migrations"
    assert other.root != first.root


@pytest.mark.parametrize(
    "path",
    [
        "poetry.lock",
        "api/requirements-prod.txt",
        "Gemfile.lock",
        "web/package.json",
        "web/pnpm-lock.yaml",
        "go.sum",
        "Cargo.lock",
        "composer.lock",
        "pom.xml",
        "Shop/Shop.csproj",
        "Dockerfile",
        "build/Dockerfile.api",
        "chart/Chart.lock",
        "uv.lock",
    ],
)
def test_files_that_can_bring_other_packages_migrations_are_named(path: str) -> None:
    assert may_carry_migrations(path)


@pytest.mark.parametrize("path", ["src/app.py", "lock.txt", "docs/package.md", "go.mod.md", "migrations/0001_x.sql", "requirements.md"])
def test_ordinary_files_bring_no_migrations_along(path: str) -> None:
    assert not may_carry_migrations(path)
