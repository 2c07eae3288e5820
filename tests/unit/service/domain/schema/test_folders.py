"""Folders that the tools' configuration names: literal ones inside of the repository, and each way out of it by name."""

import pytest

from service.domain.schema import places

FLYWAY_TOML = '[flyway]\nlocations = ["filesystem:sql/changes", "classpath:db/migration"]\n[environments.x.flyway]\nlocations = ["filesystem:sql/x"]\n'


@pytest.mark.parametrize(
    ("path", "text", "patterns"),
    [
        ("alembic.ini", "[alembic]\nscript_location = store/changes\n", ["store/changes/versions/*.py"]),
        ("svc/alembic.ini", "[alembic]\nscript_location = %(here)s/changes\n", ["svc/changes/versions/*.py"]),
        ("svc/alembic.ini", "[alembic]\nscript_location = ../changes\n", ["changes/versions/*.py"]),
        ("alembic.ini", "[alembic]\nscript_location = shop.store:changes\n", ["shop/store/changes/versions/*.py"]),
        ("alembic.ini", "[alembic]\nscript_location = a\nversion_locations = a/one a/two\n", ["a/one/*.py", "a/two/*.py"]),
        ("alembic.ini", "[one]\nscript_location = a\n[two]\nscript_location = b\n", ["a/versions/*.py", "b/versions/*.py"]),
        ("alembic.ini", "[alembic]\nscript_location = ${PLACE}/a\n", []),
        ("alembic.ini", "script_location = no section\n", []),
        ("pyproject.toml", '[tool.alembic]\nscript_location = "a"\n', ["a/versions/*.py"]),
        ("pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/a"\nversion_locations = ["%(here)s/b", 3]\n', ["b/*.py"]),
        ("pyproject.toml", "[tool.alembic\n", []),
        ("pyproject.toml", 'tool = "alembic"\n', []),
        ("flyway.conf", "flyway.locations=filesystem:sql/changes,classpath:db\n", ["sql/changes/*.sql"]),
        ("conf/flyway.conf", "# flyway.locations=filesystem:no\nflyway.locations=filesystem:../sql\n", ["sql/*.sql"]),
        ("flyway.toml", FLYWAY_TOML, ["sql/changes/*.sql", "sql/x/*.sql"]),
        ("diesel.toml", '[migrations_directory]\ndir = "store/changes"\n', ["store/changes/*.sql"]),
        ("atlas.hcl", 'env "x" {\n  migration {\n    dir = "file://store/changes?format=goose"\n  }\n}\n', ["store/changes/*.sql"]),
        ("atlas.hcl", 'env "x" {\n  migration {\n    dir = "atlas://shop"\n  }\n}\n', []),
        (
            "knexfile.js",
            "module.exports = {\n  migrations: {\n    directory: './store/changes',\n  },\n}\n",
            [f"store/changes/*.{one}" for one in ("js", "ts", "cjs", "mjs")],
        ),
        ("knexfile.js", "module.exports = {\n  migrations: {\n    directory: path.join(__dirname, 'changes'),\n  },\n}\n", []),
        (".env", "DATABASE_URL=postgres://u:hunter2@h/d\nDBMATE_MIGRATIONS_DIR=./store/changes\n", ["store/changes/*.sql"]),
        (".env", 'export GOOSE_MIGRATION_DIR="store/changes" # here\n', ["store/changes/*.sql"]),
        ("liquibase.properties", "changeLogFile=store/changes/master.xml\n", [f"store/changes/*.{one}" for one in ("sql", "xml", "yaml", "yml", "json")]),
        ("liquibase.properties", "liquibase.command.changelogFile: root.xml\n", ["root.xml"]),
        ("sqitch.conf", "[core]\n\tengine = pg\n\ttop_dir = store\n", ["store/deploy/*.sql"]),
        ("sqitch.conf", "[core]\n\tengine = pg\n", []),
        ("flyway.conf", "flyway.locations=filesystem:.\n", []),  # the top: every file would be a migration
        ("README.md", "script_location = a", []),
    ],
)
def test_a_literal_folder_is_where_migrations_are(path: str, text: str, patterns: list[str]) -> None:
    found, _ = places({path: text})
    assert [one for place in found for one in place.patterns] == patterns


@pytest.mark.parametrize(
    ("path", "text", "place", "why"),
    [
        ("alembic.ini", "[alembic]\nscript_location = /srv/shop/changes\n", "/srv/shop/changes/versions", "is an absolute path"),
        ("svc/alembic.ini", "[alembic]\nscript_location = ../../changes\n", "../../changes/versions", "leads out of the repository"),
        ("flyway.conf", "flyway.locations=filesystem:C:\\\\changes\n", "C:\\\\changes", "is an absolute path"),
        ("flyway.conf", "flyway.locations=filesystem:~/changes\n", "~/changes", "is an absolute path"),
        ("flyway.conf", "flyway.locations=filesystem:sql/*/x\n", "sql/*/x", "is a pattern"),
        ("diesel.toml", '[migrations_directory]\ndir = "a/../../b"\n', "a/../../b", "leads out of the repository"),
        ("atlas.hcl", 'env "x" {\n  migration {\n    dir = "atlas://shop"\n  }\n}\n', "atlas://shop", "is another machine's"),
        (".env", "DBMATE_MIGRATIONS_DIR=/etc/changes\n", "/etc/changes", "is an absolute path"),
    ],
)
def test_a_place_outside_of_the_repository_is_refused_and_said(path: str, text: str, place: str, why: str) -> None:
    found, outside = places({path: text})
    assert found == ()
    assert [(one.source, one.place, one.why) for one in outside] == [(path, place, why)]


def test_a_configuration_that_is_too_large_or_nests_names_nothing() -> None:
    assert places({"pyproject.toml": "x = " + "[" * 50_000 + "]" * 50_000, "alembic.ini": "#" * 300_000 + "\n[alembic]\nscript_location = a\n"}) == ((), ())
