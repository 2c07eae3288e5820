import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from service.domain.keys import FileChange
from service.domain.model import Way
from service.domain.start_up import start_up, tools_of
from service.domain.verdict import Answer
from tests.unit.service.domain import made

PROOF = (made.known(None, what="git").evidence,)


def answer(tools: set[str], migrates: bool | None) -> Answer | None:
    finding = start_up(tools, migrates, made.SUSPECT, made.GOAL, PROOF)
    return None if finding is None else finding.answer


@pytest.mark.parametrize(
    ("tools", "migrates", "expected"),
    [
        ({"Alembic"}, True, Answer.BLOCK),
        ({"Alembic"}, None, Answer.WARN),
        ({"Alembic"}, False, None),
        ({"golang-migrate"}, True, Answer.BLOCK),
        ({"sqitch"}, None, Answer.WARN),
        ({"Django"}, True, None),
        ({"Django"}, None, None),
        ({"Flyway"}, True, Answer.WARN),
        ({"Flyway"}, None, None),
        ({"Django", "Alembic"}, True, Answer.BLOCK),
        (set(), True, None),
    ],
)
def test_a_tool_that_stops_at_what_it_does_not_know_stops_the_release(tools: set[str], migrates: bool | None, expected: Answer | None) -> None:
    assert answer(tools, migrates) is expected


def test_the_sentence_says_who_stops_and_what_to_do() -> None:
    finding = start_up({"Alembic"}, True, made.SUSPECT, made.GOAL, PROOF)
    assert finding is not None
    assert finding.says == "Release 41 migrates when it starts, and Alembic stops at migrations of release 42, which it does not know."
    assert (finding.clears, finding.instead) == ("Start release 41 without that step. Else ship a hotfix on 42.", Way.HOTFIX)
    assert (finding.evidence, finding.overridable) == (PROOF, True)


def test_numbered_sql_names_no_tool() -> None:
    paths = ["alembic/versions/a.py", "db/migrations/0042_x.sql", "db/migrations/1_x.up.sql", "shop/cart.py", "shop/migrations/0001_x.py"]
    assert tools_of(FileChange(path=path, change="added") for path in paths) == {"Alembic", "Django"}


ENV = """
from alembic import context
from sqlalchemy import create_engine
with create_engine(context.config.get_main_option("url")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_alembic_really_stops_at_a_revision_that_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV, encoding="utf-8")
    (tmp_path / "versions" / "a.py").write_text("revision = 'a'\ndown_revision = None\ndef upgrade(): pass\n", encoding="utf-8")
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("url", f"sqlite:///{tmp_path / 'shop.db'}")
    command.upgrade(config, "head")
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'newer'")
    with pytest.raises(CommandError, match="Can't locate revision identified by 'newer'"):
        command.upgrade(config, "head")


DJANGO = """
import sys
import django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}}, INSTALLED_APPS=["django.contrib.contenttypes"])
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""


def test_django_really_lets_be_what_it_does_not_know(tmp_path: Path) -> None:
    migrate = [sys.executable, "-c", DJANGO, str(tmp_path / "shop.db")]
    subprocess.run(migrate, check=True)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('contenttypes', '0099_newer', '2026-05-04')")
    subprocess.run(migrate, check=True)
