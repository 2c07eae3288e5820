"""Somebody who knows Django and not Backout reads the refusal of his own migration: does it name what he knows, and what he can do?

One tree, read in a pull request by the command line, and at night as the live verdict that the command line shows. What is checked are the words on his screen.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integrations.sandbox.git import GitServer
from service.api import views
from service.cli import render
from service.cli.terminal import Terminal
from service.domain.facts import Known
from service.domain.keys import FileChange
from service.domain.rules import schema_is_compatible
from service.domain.verdict import Finding
from tests.unit.service.cli.conftest import Screen, Shell
from tests.unit.service.domain import made

PATH = "shop/migrations/0002_tidy.py"
FIRST = """from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("status", models.CharField(max_length=20)),
                ("note", models.TextField(null=True)),
            ],
        ),
    ]
"""
SECOND = """from django.db import migrations, models


def copy(apps, schema_editor):
    apps.get_model("shop", "Order").objects.update(note="")


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
{operations}
    ]
"""
REMOVE = 'migrations.RemoveField(model_name="order", name="status"),'
ADD = 'migrations.AddField(model_name="order", name="channel", field=models.CharField(max_length=8, default="web")),'
RENAME = 'migrations.RenameField("order", "note", "remark"),'
PYTHON = "migrations.RunPython(copy, migrations.RunPython.noop),"


def migration(*operations: str) -> str:
    """The second migration with these operations; the first of them is on line 11."""
    return SECOND.format(operations="\n".join(f"        {one}" for one in operations))


def in_a_pull_request(root: Path, *operations: str) -> tuple[int, str]:
    """The exit code and what the author of the change reads, without line breaks."""
    server = GitServer(root=root)
    folder = server.create("shop")
    began = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
    server.commit("shop", {"shop/models.py": "class Order: pass\n", "shop/migrations/0001_initial.py": FIRST}, "1", began)
    server.commit("shop", {PATH: migration(*operations)}, "2", began, branch="feature")
    ran = Shell()("check", "--repo", str(folder), "--from", "main", "--to", "feature", "--dialect", "postgres")
    assert ran.err == ""
    return ran.code, " ".join(ran.out.split())


def at_night(*operations: str) -> tuple[Finding, str]:
    """The answer of the live verdict, and how `backout check TARGET` shows it."""
    world = made.world()
    change = world.answers[made.DIFFERENCE]
    assert isinstance(change, Known)
    files = (FileChange(path=PATH, change="added", text=migration(*operations)),)
    beside = (("shop/migrations/0001_initial.py", FIRST),)
    world.tell(made.DIFFERENCE, replace(change.value, files=files, beside=beside, dialect="postgres"))
    finding = replace(schema_is_compatible.RULE.ask(world.gathered_case(schema_is_compatible.RULE)), rule="schema_is_compatible")
    screen = Screen()
    Terminal(stdout=screen, environment={"TERM": "dumb"}).show(render.findings([views.finding(finding)], made.NOW, everything=False, more=""))
    return finding, screen.getvalue()


@pytest.mark.parametrize(
    ("operation", "code", "words"),
    [
        (REMOVE, 3, ("block shop/migrations/0002_tidy.py:11", "Drops column shop_order.status.", "SeparateDatabaseAndState", "in a later release")),
        (ADD, 3, ("block shop/migrations/0002_tidy.py:11", "shop_order.channel NOT NULL without a default", "every insert fails", "db_default")),
        (RENAME, 3, ("block shop/migrations/0002_tidy.py:11", "Renames column shop_order.note to remark.", "db_column='<old name>'")),
        (PYTHON, 5, ("unknown shop/migrations/0002_tidy.py:11", "Runs Python code", "does the earlier release still work with the rows")),
    ],
)
def test_in_his_pull_request_he_reads_the_operation_its_place_what_breaks_and_what_to_do(
    tmp_path: Path, operation: str, code: int, words: tuple[str, ...]
) -> None:
    ended, text = in_a_pull_request(tmp_path, operation)
    assert ended == code
    for word in (*words, f"in: {operation}", "why: ", "do: "):
        assert word in text, word


def test_an_operation_that_leaves_the_earlier_code_running_is_a_yes(tmp_path: Path) -> None:
    code, text = in_a_pull_request(tmp_path, 'migrations.AddField(model_name="order", name="gift", field=models.TextField(null=True)),')
    assert (code, text.startswith("Yes, by the text of the migrations: main can run once this was deployed.")) == (0, True)


NIGHT: Mapping[str, tuple[str, ...]] = {
    REMOVE: (
        "block    Release 42 dropped column shop_order.status, which release 41 may still read.",
        "block: shop/migrations/0002_tidy.py:11 RemoveField drops column shop_order.status, which release 41 may still read.",
        "Clear when release 41 is shown never to name shop_order.status. Else ship a hotfix on 42.",
        "instead hotfix",
    ),
    ADD: (
        "block    Release 42 left new column shop_order.channel NOT NULL without a default",
        "shop/migrations/0002_tidy.py:11 AddField leaves new column shop_order.channel NOT NULL without a default.",
        "Clear when shop_order.channel gets a default",
    ),
    PYTHON: (
        "unknown  Whether release 41 can run on what release 42 left is unknown.",
        "shop/migrations/0002_tidy.py:11 RunPython runs Python code, which is not executed to read it.",
        "a person reads it",
    ),
}


@pytest.mark.parametrize("operation", NIGHT, ids=["RemoveField", "AddField", "RunPython"])
def test_at_night_he_reads_the_same_operation_its_place_and_what_clears_it(operation: str) -> None:
    finding, text = at_night(operation)
    assert len(finding.says) <= 100
    first, *rest = NIGHT[operation]
    lines = " ".join(text.split())
    assert lines.startswith(" ".join(first.split()))
    for word in (*rest, "database unknown: No database is declared for this target, so none was asked."):
        assert word in lines, (word, text)


def test_no_word_of_ours_stands_where_he_would_not_know_it(tmp_path: Path) -> None:
    shown = in_a_pull_request(tmp_path, REMOVE, ADD, RENAME, PYTHON)[1] + at_night(REMOVE, PYTHON)[1]
    assert "OLD" not in shown
    assert "suspect" not in shown
