"""The databases that may be asked for their schema, as the operator names them."""

from typing import Self
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

POSTGRESQL = ("postgresql", "postgres")
MYSQL = ("mysql", "mariadb")
FORMS = "postgresql://role@host/database or mysql://role@host/database"
MYSQL_PARAMETERS = frozenset({"passfile", "sslmode", "sslrootcert"})
MYSQL_SSL = ("verify-full", "verify-ca", "disable")


class Database(BaseModel):
    """One database whose schema may be read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    name: str = Field(min_length=1, description="What targets call it in declares.databases.")
    url: str = Field(
        description="postgresql://role@host/database?passfile=/absolute/file&sslmode=verify-full, or mysql:// in the same form: the primary, without a pooler."
    )
    schemas: tuple[str, ...] = Field(
        default=(), description="Schemas to look at. Default: public; of MySQL and MariaDB, whose schemas are databases, the one of the url."
    )

    statements_of: tuple[str, ...] = Field(
        default=(),
        description="PostgreSQL: the roles as which the program runs. What they ran (pg_stat_statements) is prepared again before going back. Default: none.",
    )

    @field_validator("url")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018  raises where it is no number
            asked = parse_qs(parts.query, keep_blank_values=True)
        except ValueError as error:
            raise ValueError(f"url cannot be read; expected {FORMS}") from error
        if parts.scheme not in {*POSTGRESQL, *MYSQL} or not parts.hostname or not parts.path.strip("/"):
            raise ValueError(f"url must be {FORMS}")
        if parts.password or "password" in asked:
            raise ValueError("url must not hold a password; name a file in libpq's format with ?passfile=/absolute/file")
        if parts.scheme in MYSQL:
            if not parts.username:
                raise ValueError("url must name the role: mysql://role@host/database")
            if asked.keys() - MYSQL_PARAMETERS:
                raise ValueError(f"url of MySQL takes {', '.join(sorted(MYSQL_PARAMETERS))} and nothing else")
            if asked.get("sslmode", ["verify-full"])[-1] not in MYSQL_SSL:
                raise ValueError(f"sslmode of MySQL is one of {', '.join(MYSQL_SSL)}")
        return value

    @model_validator(mode="after")
    def _names(self) -> Self:
        if not all(self.schemas):
            raise ValueError("a schema has a name")
        if self.statements_of and self.is_mysql:
            raise ValueError("statements_of is for PostgreSQL: what MySQL and MariaDB count cannot be prepared without the rights to run it")
        if not all(self.statements_of):
            raise ValueError("a role has a name")
        return self

    @property
    def is_mysql(self) -> bool:
        """Whether MySQL or MariaDB answers there."""
        return urlsplit(self.url).scheme in MYSQL

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The schemas to look at."""
        if self.schemas:
            return self.schemas
        return (urlsplit(self.url).path.strip("/"),) if self.is_mysql else ("public",)


class Settings(BaseModel):
    """The databases that may be asked for their schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    databases: tuple[Database, ...] = Field(min_length=1, description="The databases.")
    timeout_s: float = Field(default=5.0, gt=0, le=60, description="Seconds for each statement, and for connecting. Default: 5.")
    good_for_s: float = Field(default=30.0, gt=0, le=300, description="How long what was read may be believed. Default: 30.")

    @field_validator("databases")
    @classmethod
    def _names_once(cls, value: tuple[Database, ...]) -> tuple[Database, ...]:
        names = [one.name for one in value]
        if len(set(names)) != len(names):
            raise ValueError("a database is named twice")
        return value
