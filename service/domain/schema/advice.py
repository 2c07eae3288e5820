"""What each kind of statement means for somebody who may have to go back over it, and what to do instead: the statement table in a reader's words.

One table for the reports of `backout check --repo`, their help texts, and the page docs/migrations.md, which a test compares with it. Whether a statement is
one of these is decided in `judgement` and in the readers; nothing here decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.schema.layouts import Tool
from service.domain.schema.reading import SchemaVerdict

_SAFE, _WARN, _BREAKS, _UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Advice:
    """`what` the migration does, as a person would say it; the `verdict` it usually gets; `why` it matters for going back; what to `do`; more by `tool`."""

    what: str
    verdict: SchemaVerdict
    why: str
    do: str
    tools: Mapping[Tool, str] = field(default_factory=dict)

    def for_tool(self, tool: Tool | None) -> str:
        """What to do, with the sentence about this tool."""
        more = self.tools.get(tool, "") if tool is not None else ""
        return f"{self.do} {more}".strip()


_LATER = "Take it out of the code first and let that release live; remove it from the database in a later one, when nobody would go back past the first."
_READ_IT = "Read the statement and decide; then a waiver with your reason lets the next run pass."

ADVICE: Mapping[str, Advice] = {
    "column_dropped": Advice(
        "drops a column",
        _BREAKS,
        "The earlier code still names the column (an ORM names every column of its model), so its statements fail; the values are gone.",
        _LATER,
        {
            Tool.DJANGO: "In Django: delete the field in a migration with SeparateDatabaseAndState (state_operations only; a NOT NULL column needs null=True "
            "or a db_default first), and drop the column in a later release.",
            Tool.RAILS: "In Rails: add the column to `ignored_columns` first, remove_column in a later release.",
        },
    ),
    "column_renamed": Advice(
        "renames a column",
        _BREAKS,
        "The earlier code asks for the old name, which is not there any more.",
        "Add a column with the new name, write both, copy the rows, and drop the old one in a later release; or keep the database's name.",
        {Tool.DJANGO: "In Django: rename the field and keep the column with db_column='<old name>'."},
    ),
    "column_replaced": Advice(
        "puts another column under the name of an old one",
        _BREAKS,
        "The earlier code finds a column of that name, but not its values.",
        "Give the new column a name of its own.",
    ),
    "not_null_without_default": Advice(
        "adds a NOT NULL column without a default in the database",
        _BREAKS,
        "The earlier code does not name the column when it inserts, and the database then has no value for it: every insert fails.",
        "Let the column be NULL, or give it a default that stays in the database.",
        {
            Tool.DJANGO: "In Django: null=True, or db_default=... (Django 5.0 and later); `default` alone is dropped from the database again.",
            Tool.ALEMBIC: "In Alembic: nullable=True, or server_default=...; SQLAlchemy's `default` is not known to the database.",
            Tool.RAILS: "In Rails: `default:` beside `null: false`, or null: true.",
        },
    ),
    "default_dropped_on_new_not_null_column": Advice(
        "adds a NOT NULL column and drops its default again",
        _BREAKS,
        "The default only fills the rows that are there. The earlier code does not name the column when it inserts, so every insert fails.",
        "Let the column be NULL, or keep the default in the database until nobody would go back past this release.",
        {
            Tool.DJANGO: "In Django this is what AddField does with null=False and `default`: use null=True, or db_default=... (Django 5.0 and later), which "
            "stays in the database.",
            Tool.ALEMBIC: "In Alembic: leave out the alter_column(server_default=None) until a later release.",
        },
    ),
    "default_dropped": Advice(
        "drops a default",
        _WARN,
        "Inserts of the earlier code that leave the column to its default fail where it is NOT NULL, and write NULL where it is not.",
        "Make sure that the earlier code always writes the column; or keep the default for one release more.",
    ),
    "not_null_set": Advice(
        "makes a column NOT NULL",
        _WARN,
        "If the earlier code ever writes NULL there, it fails from now on.",
        "Make sure that the release which you would go back to never writes NULL there; ship that code first.",
    ),
    "not_null_dropped": Advice(
        "lets a column be NULL",
        _WARN,
        "As soon as the new code wrote a NULL, the earlier code reads one where it expects a value.",
        "Let the code cope with NULL one release before anything writes it.",
    ),
    "check_fails_for_old": Advice(
        "adds a check that wants one of several new columns to be filled",
        _BREAKS,
        "The earlier code fills none of them, so all its inserts fail.",
        "Add the check in a later release, or give one of the columns a default.",
    ),
    "check_added": Advice(
        "adds a CHECK",
        _WARN,
        "What the earlier code writes may not pass it.",
        "Make sure that the earlier code writes only what the check accepts; ship that code first.",
    ),
    "unique_added": Advice(
        "adds a unique key",
        _WARN,
        "If the earlier code writes duplicates, its inserts fail from now on.",
        "Make sure that the earlier code already treats the key as unique; ship that code first.",
    ),
    "foreign_key_added": Advice(
        "adds a foreign key",
        _WARN,
        "The earlier code may write or delete rows in an order that the key refuses.",
        "Make sure that the earlier code writes the parent first and deletes it last.",
    ),
    "constraint_dropped": Advice(
        "drops a constraint",
        _WARN,
        "The new code may write rows that the earlier code never had to read; an upsert (ON CONFLICT) on a dropped key fails.",
        "Let the new code keep the old rule for one release more, and look for ON CONFLICT on the key.",
    ),
    "constraint_changed": Advice(
        "changes when a constraint is checked",
        _WARN,
        "The earlier code may write in an order that the constraint now refuses.",
        "Look at the order in which the earlier code writes.",
    ),
    "table_dropped": Advice("drops a table", _BREAKS, "Each statement of the earlier code on that table fails; its rows are gone.", _LATER),
    "table_renamed": Advice(
        "renames a table",
        _BREAKS,
        "The earlier code asks for the old name.",
        "Keep the table's name in the database; or leave a view of the old name that serves its reads and writes.",
        {Tool.DJANGO: "In Django: rename the model and keep the table with Meta.db_table = '<old name>'."},
    ),
    "table_replaced": Advice(
        "puts another table under the name of an old one",
        _BREAKS,
        "The earlier code finds a table of that name, but not its rows and perhaps not its columns.",
        "Give the new table a name of its own.",
    ),
    "sequence_replaced_if_there": Advice(
        "drops a sequence if there is one, and makes it (DROP SEQUENCE IF EXISTS before CREATE SEQUENCE)",
        _WARN,
        "Many write a new sequence so, and then nothing happens to the earlier code. If it knows one of that name, its numbers begin again.",
        "Leave the DROP away where the sequence is new. Where it is not, let it count on.",
    ),
    "table_replaced_if_there": Advice(
        "drops a table if there is one, and makes it (DROP TABLE IF EXISTS before CREATE TABLE)",
        _WARN,
        "Many write a new table so, and then nothing happens to the earlier code. If it knows a table of that name, that one is gone with its rows.",
        "Leave the DROP away where the table is new. Where it is not, give the new table a name of its own.",
    ),
    "table_renamed_behind_view": Advice(
        "renames a table and puts a view of all its columns under the old name",
        _WARN,
        "The earlier code reads the view as it read the table; whether all its writes pass a view is not in the migration.",
        "Make sure that the earlier code's writes pass the view: upserts, locks, TRUNCATE and COPY may not.",
    ),
    "table_rebuilt": Advice(
        "rebuilds a table (SQLite: create, copy, drop, rename)",
        _UNKNOWN,
        "What matters is the shape the table has in the end, which is not compared.",
        "Compare the new table's columns with the old ones; " + _READ_IT[0].lower() + _READ_IT[1:],
    ),
    "type_changed": Advice(
        "changes a column's type to one of another family",
        _BREAKS,
        "The earlier code reads and writes the old type.",
        "Add a column of the new type, write both, copy the rows, and drop the old one in a later release.",
    ),
    "type_narrowed": Advice(
        "makes a column shorter",
        _BREAKS,
        "The earlier code may write values that do not fit any more.",
        "Let the code write only short values first; make the column shorter in a later release.",
    ),
    "type_widened": Advice(
        "makes a column wider",
        _WARN,
        "Once the new code wrote longer or larger values, the earlier code has to read them.",
        "Make sure that the earlier code copes with such values, or let nothing write them for one release.",
    ),
    "type_kept": Advice("says again which type a column has", _SAFE, "The database converts nothing, or the statement would have failed.", ""),
    "type_size_changed": Advice(
        "changes a column's length or precision",
        _WARN,
        "Whether that is wider (fine) or narrower (not) than before does not stand in the migration.",
        "Look at the old length; " + _READ_IT[0].lower() + _READ_IT[1:],
    ),
    "column_redefined": Advice(
        "writes a column's definition anew (MySQL MODIFY, CHANGE)",
        _WARN,
        "What the definition leaves out (NOT NULL, DEFAULT, character set) is dropped, and whether it was there before does not stand in the migration.",
        "Compare it with the old definition; " + _READ_IT[0].lower() + _READ_IT[1:],
    ),
    "identity_changed": Advice("changes how a column is generated", _WARN, "The earlier code may write the column itself.", "Make sure that it never does."),
    "enum_value_added": Advice(
        "adds a value to an enum",
        _WARN,
        "Once a row has the new value, the earlier code has to read it.",
        "Let the code accept the value one release before anything writes it.",
    ),
    "enum_value_renamed": Advice(
        "renames a value of an enum",
        _BREAKS,
        "The earlier code writes and compares the old value.",
        "Add the new value, move the rows, and stop using the old one.",
    ),
    "choices_changed": Advice(
        "lets a field have further values (Django's choices)",
        _WARN,
        "The database does not change. But once the new code wrote such a value, the earlier code has to read it.",
        "Let the code accept the value one release before anything writes it.",
    ),
    "index_dropped": Advice(
        "drops an index that does not seem to be unique", _SAFE, "No statement depends on it; the earlier code may be slow without it.", ""
    ),
    "unique_index_dropped": Advice(
        "drops an index that seems to be unique",
        _WARN,
        "If it was unique and the earlier code does an upsert on it (ON CONFLICT), that fails; else it may be slow without it.",
        "Look for upserts on it, and whether the earlier code's queries need it.",
    ),
    "conditional_sql": Advice(
        "runs statements under conditions (a DO block)",
        _WARN,
        "Each was read, but which of them ran depends on what the database held.",
        "Look at what the conditions let through; the statements themselves are listed beside it.",
    ),
    "rows_changed": Advice(
        "changes rows",
        _UNKNOWN,
        "The shape stays, but what the rows mean may not: the earlier code reads them as before.",
        "Decide whether the earlier code can work with the rows as they are now; a waiver with your reason lets the next run pass.",
    ),
    "rows_added": Advice("adds rows", _WARN, "The earlier code will read them too.", "Make sure that it copes with them."),
    "rows_deleted": Advice(
        "deletes all rows of a table", _BREAKS, "The earlier code may need them.", "Delete them in a later release, when nobody would go back past this one."
    ),
    "python_code": Advice(
        "runs Python code",
        _UNKNOWN,
        "What it does to the rows shows only when it runs; reading its text does not tell.",
        "Read the code: does the earlier release still work with the rows that it leaves? Then a waiver with your reason lets the next run pass.",
        {Tool.DJANGO: "In Django it helps to have RunPython in a migration of its own, without changes of the schema."},
    ),
    "not_literal": Advice(
        "is written so that its meaning is computed when it runs (a loop, a condition, an f-string, a helper)",
        _UNKNOWN,
        "Nobody's code is executed to read it.",
        "Write the operation out with literal names and values; or " + _READ_IT[0].lower() + _READ_IT[1:],
    ),
    "not_understood": Advice("does something that is not understood here", _UNKNOWN, "What is not understood is never taken for safe.", _READ_IT),
    "not_plain_sql": Advice(
        "is a migration in a language that is not read here",
        _UNKNOWN,
        "Nobody's code is executed to read it.",
        "Let the tool print its SQL and check that: " + _READ_IT,
    ),
    "not_readable": Advice("cannot be read", _UNKNOWN, "What is not read is never taken for safe.", "Make the file readable, or read it yourself."),
    "too_large": Advice("is larger than what is read", _UNKNOWN, "What is not read is never taken for safe.", "Split it, or read it yourself."),
    "dialect_not_known": Advice(
        "reads differently in different databases",
        _UNKNOWN,
        "Which database runs it is not known.",
        "Say --dialect postgres, mysql or sqlite, or declare it in .backout.yaml.",
    ),
    "dynamic_sql": Advice(
        "runs SQL that is put together when it runs (DO, EXECUTE, CALL)",
        _UNKNOWN,
        "What will run does not stand in the text.",
        "Write it as plain DDL; or " + _READ_IT[0].lower() + _READ_IT[1:],
    ),
    "calls_a_function": Advice("calls a function", _UNKNOWN, "What the function does is not in the text.", _READ_IT),
    "transaction_undone": Advice("rolls a transaction back", _UNKNOWN, "What remains of the statements before is not clear.", _READ_IT),
    "order_not_clear": Advice(
        "uses a table before it makes it",
        _UNKNOWN,
        "The order in which the migrations run is not clear from their names.",
        "Number the migrations in the order in which they run.",
    ),
    "migration_rewritten": Advice(
        "changes, renames or deletes a migration that was there before",
        _UNKNOWN,
        "What it did when it was applied is not what stands in it now.",
        "Leave applied migrations as they are and add a new one. If it was never applied anywhere, a waiver with your reason lets the next run pass.",
    ),
    "settings_changed": Advice(
        "changes the settings of a migration tool",
        _UNKNOWN,
        "They decide which migrations run, and on which database.",
        "Make sure that the same migrations run as before; a waiver with your reason lets the next run pass.",
    ),
    "dump_disagrees": Advice(
        "does not fit what the tool's dump of the schema (schema.rb, structure.sql, schema.sql) says",
        _UNKNOWN,
        "Migrations and dump are two witnesses of one change, and one of them is not what the database has.",
        "Run the migrations on an empty database and let the tool write the dump anew; commit both together.",
        {Tool.RAILS: "In Rails: bin/rails db:migrate, then look at the difference of db/schema.rb line by line."},
    ),
    "schema_disagrees": Advice(
        "changes something that the schema before does not have",
        _UNKNOWN,
        "Either the migration fails, or the given schema is not the one from which it begins.",
        "Take a dump of the database that these migrations will meet.",
    ),
    "migrations_elsewhere": Advice(
        "names a place for migrations where nobody looked (an absolute path, `..` out of the repository, a link, another machine)",
        _UNKNOWN,
        "Migrations that are not in this repository were not read.",
        "Let the tool's configuration name a folder of the repository; or look there, and a waiver with your reason lets the next run pass.",
    ),
    "snapshot_changed": Advice(
        "changes a schema snapshot without a migration",
        _UNKNOWN,
        "The schema is said to be another one, and how it became so is not in the range.",
        "Add the migration, or say why there is none.",
    ),
    "view_replaced": Advice(
        "replaces a view",
        _WARN,
        "The earlier code reads the view's columns and expects the same rows.",
        "Keep its columns and what they mean; or make a new view.",
    ),
    "routine_changed": Advice(
        "creates or replaces a function or procedure",
        _WARN,
        "Its body is not read; the earlier code may call it and expect what it did before.",
        "Make sure that the earlier code gets the same results from it.",
    ),
    "trigger_created": Advice(
        "adds a trigger", _WARN, "It also runs on what the earlier code writes.", "Make sure that the earlier code's writes pass it unchanged."
    ),
    "trigger_function_dropped": Advice(
        "drops the function of a trigger that it drops", _WARN, "The earlier code may call the function itself.", "Make sure that it never does."
    ),
    "trigger_switched": Advice(
        "switches a trigger on or off", _WARN, "The earlier code may depend on what it computes.", "Look at what it computes, and who reads that."
    ),
    "right_revoked": Advice(
        "revokes rights", _BREAKS, "The earlier code may use them.", "Revoke them in a later release, when nobody would go back past this one."
    ),
    "role_changed": Advice("changes a database role", _BREAKS, "The earlier code may connect as that role.", "Make sure that its role keeps what it used."),
    "row_security_enabled": Advice(
        "turns row level security on",
        _BREAKS,
        "Rows disappear for a role without a policy.",
        "Make sure that the earlier code's role has a policy, or bypasses it.",
    ),
    "row_security_relaxed": Advice(
        "relaxes row level security", _WARN, "The earlier code may see rows that were hidden from it.", "Make sure that it may see them."
    ),
    "policy_created": Advice(
        "adds a row policy", _WARN, "The earlier code's role may see or write less.", "Make sure that it may still read and write all it did."
    ),
    "policy_dropped": Advice(
        "drops a row policy", _BREAKS, "The earlier code's role may see or write less.", "Make sure that it may still read and write all it did."
    ),
    "partition_detached": Advice("detaches a partition", _BREAKS, "Its rows are hidden from the earlier code.", "Make sure that it does not read them."),
    "charset_changed": Advice(
        "changes a character set or collation",
        _WARN,
        "Equality, order and uniqueness change with it.",
        "Make sure that the earlier code writes and compares the same.",
    ),
    "engine_changed": Advice(
        "changes a storage engine", _WARN, "Transactions, keys and locks may differ.", "Make sure that the earlier code needs none that is missing."
    ),
    "dependencies_changed": Advice(
        "changes dependencies, an image or a submodule",
        _UNKNOWN,
        "A package can bring migrations of its own, which are not in this repository and were not read.",
        "Look whether one of them has migrations (Django applications, Rails engines, images that migrate when they start). If none has, a waiver with your "
        "reason lets the next run pass.",
    ),
    "table_created": Advice("creates a table", _SAFE, "The earlier code does not know it.", ""),
    "nothing_changes": Advice("says again what is so already", _SAFE, "By the schema before, nothing is different afterwards.", ""),
    "column_added": Advice(
        "adds a column that may be NULL, or has a default that stays", _SAFE, "The earlier code does not name it, and the database fills it.", ""
    ),
    "index_created": Advice("creates an index that is not unique", _SAFE, "No statement depends on it.", ""),
    "default_changed": Advice("sets a default", _SAFE, "The earlier code's inserts still succeed.", ""),
    "object_created": Advice("creates a view, type, sequence, schema or extension", _SAFE, "The earlier code does not know it.", ""),
    "made_by_an_earlier_file": Advice(
        "takes away or changes what an earlier file of the same call made (`backout schema check`)",
        _WARN,
        "If the earlier code has that earlier migration already, it may use what is gone now; if both are new to it, nothing happens to it.",
        "Name only the files that are new and add --range, or compare two revisions (backout check --repo). --each judges each file alone.",
    ),
    "made_in_this_range": Advice("changes what the same range of migrations made", _SAFE, "The earlier code never had it.", ""),
    "renamed_back": Advice("renames something away and back", _SAFE, "In the end it has its old name.", ""),
    "storage_changed": Advice("changes owner, storage or statistics", _SAFE, "No statement depends on it.", ""),
    "constraint_validated": Advice("validates a constraint", _SAFE, "New rows already had to meet it.", ""),
    "sequence_changed": Advice("changes how a sequence counts", _SAFE, "The earlier code takes the next number as before.", ""),
    "partition_attached": Advice("adds a partition", _SAFE, "The earlier code reads and writes the whole table.", ""),
    "no_schema_change": Advice("changes a comment, or something of its own session", _SAFE, "Nothing of it is left for the earlier code to meet.", ""),
    "right_granted": Advice("grants rights", _SAFE, "Nobody loses one.", ""),
    "undo_changed": Advice("adds a script that undoes a migration", _SAFE, "It is not applied going forward.", ""),
}

_BY_ENDING = {
    "_dropped": Advice("drops something that the earlier code may use", _BREAKS, "The earlier code may still use it.", _LATER),
    "_renamed": Advice(
        "renames something that the earlier code may use", _BREAKS, "The earlier code asks for the old name.", "Keep the name, or make a new one beside it."
    ),
    "_replaced": Advice(
        "replaces something that the earlier code may use",
        _WARN,
        "The earlier code expects what was there before.",
        "Keep what it expects, or give the new one a name of its own.",
    ),
    "_created": ADVICE["object_created"],
}
_OTHER = Advice("does something to the database", _UNKNOWN, "What it means for the earlier code is not known here.", _READ_IT)


def advice_of(rule: str) -> Advice:
    """The advice for a statement's rule; a general one for names that are made of an object's kind, such as `sequence_dropped`."""
    return ADVICE.get(rule) or next((found for ending, found in _BY_ENDING.items() if rule.endswith(ending)), _OTHER)
