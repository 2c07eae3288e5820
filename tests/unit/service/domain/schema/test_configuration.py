import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaVerdict, read_range
from service.domain.schema.configuration import configured_dialect


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("alembic.ini", "[alembic]\nsqlalchemy.url = postgresql+psycopg://u:hunter2@h/db\n", Dialect.POSTGRES),
        ("svc/alembic.ini", "sqlalchemy.url = mysql://h/db", Dialect.MYSQL),
        ("alembic.ini", "sqlalchemy.url = driver://user:pass@localhost/dbname", Dialect.UNKNOWN),
        ("alembic.ini", "# sqlalchemy.url = mysql://h\nsqlalchemy.url = %(DB_URL)s", Dialect.UNKNOWN),
        ("conf/flyway.conf", "flyway.url=jdbc:mariadb://h/db", Dialect.MYSQL),
        ("flyway.toml", '[environments.x]\nurl = "jdbc:postgresql://h/db"', Dialect.POSTGRES),
        ("flyway.conf", "flyway.url=${DB_URL}", Dialect.UNKNOWN),
        ("liquibase.properties", "url: jdbc:postgresql://h/db", Dialect.POSTGRES),
        ("liquibase.properties", "url: jdbc:oracle:thin:@h", Dialect.UNKNOWN),
        (
            "prisma/schema.prisma",
            'datasource db {\n  provider = "mysql"\n  url = env("X")\n}\ngenerator c {\n provider = "x-js"\n}',
            Dialect.MYSQL,
        ),
        ("config/database.yml", "default: &default\n  adapter: postgresql\n", Dialect.POSTGRES),
        ("config/database.yml", "a:\n  adapter: <%= ENV['A'] %>\n", Dialect.UNKNOWN),
        ("knexfile.js", "module.exports = {\n  client: 'pg',\n}", Dialect.POSTGRES),
        ("ormconfig.json", '{"type": "sqlite"}', Dialect.SQLITE),
        ("sqitch.conf", "[core]\n\tengine = pg\n", Dialect.POSTGRES),
        ("web/settings.py", "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}", Dialect.POSTGRES),
        ("web/settings/base.py", "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}\nx = dj_database_url.config()", Dialect.UNKNOWN),
        ("web/settings.py", "DATABASES = {'default': {'ENGINE': os.environ['ENGINE']}}", Dialect.UNKNOWN),
        ("README.md", "sqlalchemy.url = mysql://h", Dialect.UNKNOWN),
    ],
)
def test_the_dialect_is_what_the_configuration_says_literally(path: str, text: str, wanted: Dialect) -> None:
    assert configured_dialect({path: text}) is wanted


def test_files_that_contradict_each_other_say_nothing() -> None:
    texts = {"a/alembic.ini": "sqlalchemy.url = mysql://h/db", "b/alembic.ini": "sqlalchemy.url = postgresql://h/db"}
    assert configured_dialect(texts) is Dialect.UNKNOWN
    assert configured_dialect({}) is Dialect.UNKNOWN


def test_the_configured_dialect_reads_what_would_be_unclear_without_it() -> None:
    file = MigrationFile(path="db/migrations/V2__x.sql", change=Change.ADDED, text='create table "a;b" (c int); -- \'')
    assert read_range([file], Dialect.UNKNOWN).verdict is SchemaVerdict.UNKNOWN
    assert read_range([file], Dialect.UNKNOWN, beside={"flyway.conf": "flyway.url=jdbc:postgresql://h/db"}).verdict is SchemaVerdict.SAFE
