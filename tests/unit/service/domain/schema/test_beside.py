from collections.abc import Sequence

from service.domain.schema.beside import MAX_FILES, beside

TREE = {
    "": ["manage.py", "shop/", "web/", "alembic.ini"],
    "web": ["settings/", "urls.py"],
    "web/settings": ["base.py", "README.md"],
    "shop": ["migrations/", "models.py", "settings.py"],
    "shop/migrations": ["__init__.py", "0001_initial.py", "0002_more.py", "notes.txt"],
}


def names_in(folder: str) -> Sequence[str]:
    return TREE.get(folder, ())


def test_a_django_migration_is_told_against_its_siblings_its_application_and_the_settings() -> None:
    assert set(beside(["shop/migrations/0002_more.py"], names_in)) == {
        "shop/migrations/0001_initial.py",
        "shop/migrations/0002_more.py",
        "shop/apps.py",
        "alembic.ini",
        "shop/settings.py",
        "web/settings/base.py",
    }


def test_a_plain_migration_needs_the_configuration_in_the_folders_above_it() -> None:
    tree = {"": ["conf/"], "svc": ["flyway.conf", "sql/"], "svc/sql": ["V1__a.sql"]}
    assert beside(["svc/sql/V1__a.sql"], lambda folder: tree.get(folder, ())) == ("svc/flyway.conf", "conf/flyway.conf")


def test_migrations_of_rails_and_dbmate_are_held_against_the_dump_of_their_database() -> None:
    tree = {"db": ["migrate/", "animals_migrate/", "migrations/", "schema.rb", "animals_structure.sql", "schema.sql"]}

    def of(path: str) -> Sequence[str]:
        return beside([path], lambda folder: tree.get(folder, ()))

    assert of("db/migrate/20260101000000_a.rb") == ("db/schema.rb",)
    assert of("db/animals_migrate/20260101000000_a.rb") == ("db/animals_structure.sql",)
    assert of("db/migrations/20260101000000_a.sql") == ("db/schema.sql",)


def test_other_files_need_nothing() -> None:
    assert beside(["shop/models.py", "README.md", "db/migrations/1_a.down.sql"], names_in) == ()


def test_the_number_of_files_is_bounded() -> None:
    many = [f"{number:06}_x.py" for number in range(MAX_FILES + 10)]
    assert len(beside(["a/migrations/000001_x.py"], lambda folder: many if folder == "a/migrations" else ())) == MAX_FILES
