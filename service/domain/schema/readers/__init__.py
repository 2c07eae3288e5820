"""Readers of migrations that are no plain SQL: one file for a tool, and one line here. Each yields the same operations as SQL does.

Nothing is executed and nothing is imported: Python is read as a tree, other languages by what is literal in them, markup by bounded parsers. What is computed
when it runs is unknown, by name.
"""

from collections.abc import Mapping

from service.domain.schema.layouts import Tool
from service.domain.schema.readers.alembic import AlembicReader
from service.domain.schema.readers.django import DjangoReader
from service.domain.schema.readers.entity_framework import EntityFrameworkReader
from service.domain.schema.readers.javascript import JavaScriptReader
from service.domain.schema.readers.liquibase import LiquibaseReader
from service.domain.schema.readers.rails import RailsReader
from service.domain.schema.readers.reader import Reader, Root, Sql, Step

READERS: Mapping[Tool, type[Reader]] = {
    Tool.ALEMBIC: AlembicReader,
    Tool.DJANGO: DjangoReader,
    Tool.RAILS: RailsReader,
    Tool.LIQUIBASE: LiquibaseReader,
    Tool.ENTITY_FRAMEWORK: EntityFrameworkReader,
    Tool.TYPEORM: JavaScriptReader,
    Tool.KNEX: JavaScriptReader,
    Tool.SEQUELIZE: JavaScriptReader,
}
READ_CHANGED = frozenset({Tool.LIQUIBASE})
"""Tools whose files are added to: a changed one is read if everything that it had is still there."""

__all__ = ["READERS", "READ_CHANGED", "Reader", "Root", "Sql", "Step"]
