import pytest
from pydantic import ValidationError

from integrations.evidence.databases.settings import Database, Settings


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///shop.db",
        "postgresql://role:secret@host/db",
        "postgresql://role@host/db?password=secret",
        "postgresql://role@host",
        "postgresql:///db",
        "postgresql://role@host:port/db",
        "mysql://role:secret@host/db",
        "mariadb://role@host/db?password=secret",
        "mysql://host/db",
        "mysql://role@host",
        "mysql://role@host/db?sslmode=prefer",
        "mysql://role@host/db?local_infile=1",
    ],
)
def test_an_address_with_a_password_or_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Database(name="orders", url=url)
    assert "secret" not in str(refused.value)


def test_a_name_stands_for_one_database() -> None:
    one = Database(name="orders", url="postgresql://role@host/db")
    with pytest.raises(ValidationError, match="named twice"):
        Settings(databases=(one, one))


def test_the_schema_is_public_and_of_mysql_the_database_itself() -> None:
    assert Database(name="orders", url="postgresql://role@host/db").looked_at == ("public",)
    assert Database(name="orders", url="mysql://role@host:3307/shop").looked_at == ("shop",)
    assert Database(name="orders", url="mysql://role@host/shop", schemas=("a", "b")).looked_at == ("a", "b")
    with pytest.raises(ValidationError, match="a schema has a name"):
        Database(name="orders", url="mysql://role@host/shop", schemas=("",))


def test_statements_are_of_roles_of_postgresql() -> None:
    assert Database(name="orders", url="postgresql://role@host/db", statements_of=("app", "worker")).statements_of == ("app", "worker")
    with pytest.raises(ValidationError, match="statements_of is for PostgreSQL"):
        Database(name="orders", url="mariadb://role@host/db", statements_of=("app",))
    with pytest.raises(ValidationError, match="a role has a name"):
        Database(name="orders", url="postgresql://role@host/db", statements_of=("",))
