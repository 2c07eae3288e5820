import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrations.sandbox.git import GitServer
from tests.unit.service.cli.conftest import Ran, Shell
from tests.unit.service.cli.fake_service import FakeService, Said

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
PATH = "db/migrations/V2__drop.sql"


class Repository:
    def __init__(self, folder: Path) -> None:
        self._server = GitServer(root=folder)
        self.folder = self._server.create("shop")
        self.commit({"src/app.py": "1"}, "main")

    def commit(self, files: Mapping[str, str | None], branch: str = "feature") -> str:
        return self._server.commit("shop", files, "x", START, branch=branch)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "root")


def asked(repository: Repository, *more: str) -> tuple[str, ...]:
    return ("check", "--repo", str(repository.folder), "--from", "main", "--to", "feature", "--dialect", "postgres", *more)


alone = Shell()
"""No service anywhere: what asks for one fails."""


@pytest.mark.parametrize(
    ("sql", "code", "strict"),
    [
        ("alter table a drop column b;", 3, 3),
        ("update a set b = 1;", 5, 5),
        ("alter table a alter column c drop not null;", 0, 3),
        ("create table n (a int);", 0, 0),
    ],
)
def test_the_exit_code_is_the_answer_and_strict_counts_warnings(repository: Repository, sql: str, code: int, strict: int) -> None:
    repository.commit({PATH: sql})
    assert alone(*asked(repository)).code == code
    assert alone(*asked(repository, "--strict")).code == strict


def test_it_needs_no_service_and_says_it_in_one_sentence(repository: Repository) -> None:
    repository.commit({PATH: "alter table a drop column b;"})
    ran = alone(*asked(repository))
    assert ran.out.startswith("No: once this is deployed, going back to main breaks.\n")
    assert f"block    {PATH}:1\n" in ran.out
    assert ran.err == ""


def test_json_is_one_document_by_either_option(repository: Repository) -> None:
    repository.commit({PATH: "alter table a drop column b;"})
    for option in (("--json",), ("--format", "json")):
        document = alone(*asked(repository, *option)).document
        assert (document["verdict"], document["exit_code"], document["findings"][0]["rule"]) == ("block", 3, "column_dropped")
        assert "goal_images_exist" in document["not_decided"]
        assert "schema_is_compatible" not in document["not_decided"]


def test_a_report_goes_to_a_file_and_a_text_to_the_log(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: "alter table a drop column b;"})
    ran = alone(*asked(repository, "--format", "sarif", "--output", str(tmp_path / "out.sarif")))
    assert ran.code == 3
    assert "Drops column a.b." in ran.out
    assert json.loads((tmp_path / "out.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"
    alone(*asked(repository, "--output", str(tmp_path / "out.txt")))
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == ran.out
    assert alone(*asked(repository, "--output", str(tmp_path / "no" / "where"))).code == 1


def test_github_gets_annotations_and_always_a_summary(repository: Repository, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    shell = Shell(environment={"GITHUB_STEP_SUMMARY": str(summary)})
    repository.commit({PATH: "create table n (a int);"})
    assert shell(*asked(repository, "--format", "github")).code == 0
    assert "Yes, by the text of the migrations" in summary.read_text(encoding="utf-8")
    repository.commit({PATH: "alter table a drop column b;"})
    assert "::error file=" in shell(*asked(repository, "--format", "github")).out
    assert summary.read_text(encoding="utf-8").count("## backout check") == 2


def test_missing_history_is_code_5_and_names_what_to_fetch(repository: Repository) -> None:
    ran = alone("check", "--repo", str(repository.folder), "--from", "release-56", "--to", "main")
    assert ran.code == 5
    assert "fetch-depth: 0" in ran.err
    assert "GIT_DEPTH: 0" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--repo", ".", "--from", "main"),
        ("check", "--repo", ".", "--from", "a", "--to", "b", "--format", "html"),
        ("check", "--repo", ".", "--from", "a", "--to", "b", "--dialect", "oracle"),
        ("check", "prod:shop", "--repo", ".", "--from", "a", "--to", "b"),
        ("check", "--repo", "/nowhere", "--from", "a", "--to", "b"),
    ],
)
def test_wrong_usage_is_code_2(arguments: tuple[str, ...]) -> None:
    assert alone(*arguments).code == 2


def test_a_request_cannot_waive_itself(repository: Repository) -> None:
    waiver = "waivers: [{rule: column_dropped, path: 'db/*', reason: never read}]"
    repository.commit({PATH: "alter table a drop column b;", ".backout.yaml": waiver})
    ran = alone(*asked(repository))
    assert ran.code == 3
    assert "note: This changes .backout.yaml" in ran.out
    repository.commit({".backout.yaml": waiver}, "main")
    ran = alone(*asked(repository))
    assert ran.code == 0
    assert "waived: never read" in ran.out


def test_declarations_that_are_wrong_are_code_5_with_the_sentence(repository: Repository) -> None:
    repository.commit({".backout.yaml": "waivres: []"}, "main")
    repository.commit({PATH: "drop table a;"})
    ran = alone(*asked(repository))
    assert ran.code == 5
    assert "waivres" in ran.err


def test_a_base_that_went_on_is_said(repository: Repository) -> None:
    repository.commit({PATH: "alter table a alter column c drop not null;"})
    repository.commit({"db/migrations/V3__x.sql": "alter table a alter column d drop not null;"}, "main")
    ran = alone(*asked(repository))
    assert ran.code == 5
    assert "main is no ancestor of feature" in ran.out


FIRST = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = []
    operations = [
        migrations.CreateModel(name="Order", fields=[("id", models.BigAutoField(primary_key=True)), ("note", models.TextField(null=True))]),
    ]
"""
SECOND = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="order",
            name="channel",
            field=models.CharField(default="web", max_length=8),
        ),
        migrations.AlterField("order", "note", models.TextField(null=True, help_text="x")),
    ]
"""


def test_somebody_who_knows_django_reads_what_is_wrong_with_his_migration_and_what_to_do(repository: Repository) -> None:
    repository.commit({"shop/migrations/0001_initial.py": FIRST}, "main")
    repository.commit({"shop/migrations/0042_order_channel.py": SECOND})
    ran = alone("check", "--repo", str(repository.folder), "--from", "main", "--to", "feature")
    assert ran.code == 3
    text = " ".join(ran.out.split())
    assert "block shop/migrations/0042_order_channel.py:8 Leaves new column shop_order.channel NOT NULL without a default." in text
    assert "every insert fails" in text
    assert "In Django this is what AddField does with null=False and `default`: use null=True, or db_default=..." in text
    page = (Path(__file__).parents[5] / "docs" / "migrations.md").read_text(encoding="utf-8")
    shown = page.partition("block    shop/")[2].partition("```")[0]
    told = ran.out.partition("block    shop/")[2].replace("main's", "origin/main's")
    assert " ".join(shown.split()).replace(":11", ":8") in " ".join(told.split())


# --- somebody who knows Django but not Backout ------------------------------------------------------------------------------

MODELS = """
from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("note", models.TextField()),
                ("legacy_status", models.CharField(max_length=20)),
            ],
        ),
    ]
"""
CLEANUP = """
from django.db import migrations, models

def fill(apps, schema_editor):
    apps.get_model("shop", "Order").objects.filter(remark="").update(remark="-")

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RemoveField(model_name="order", name="legacy_status"),
        migrations.AddField(model_name="order", name="channel", field=models.CharField(max_length=10, default="web")),
        migrations.RenameField(model_name="order", old_name="note", new_name="remark"),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
"""
DJANGO = "shop/migrations/0002_cleanup.py"
TOLD = {
    f"{DJANGO}:10": ("Drops column shop_order.legacy_status.", "SeparateDatabaseAndState"),
    f"{DJANGO}:11": ("Leaves new column shop_order.channel NOT NULL without a default.", "use null=True, or db_default=..."),
    f"{DJANGO}:12": ("Renames column shop_order.note to remark.", "db_column='"),
    f"{DJANGO}:13": ("Runs Python code, which is not executed to read it.", "RunPython in a migration of its own"),
}
"""Place of each operation, what it does to the database, and the words of Django in what to do about it."""


@pytest.fixture
def django(repository: Repository) -> Repository:
    repository.commit({"manage.py": "x", "shop/__init__.py": "", "shop/migrations/__init__.py": "", "shop/migrations/0001_initial.py": MODELS}, "main")
    repository.commit({DJANGO: CLEANUP})
    return repository


def test_a_django_developer_reads_in_a_terminal_what_breaks_where_why_and_what_to_do_in_djangos_words(django: Repository) -> None:
    ran = alone(*asked(django))
    assert (ran.code, ran.out.splitlines()[0]) == (3, "No: once this is deployed, going back to main breaks in 3 places.")
    first, *findings = ran.out.split("\n\n")
    assert len([one for one in findings if one.startswith(("block", "unknown"))]) == len(TOLD)
    for place, (says, does) in TOLD.items():
        one = " ".join(next(part for part in findings if place in part).split())
        assert says in one
        assert does in one.partition(" do: ")[2]
        assert one.partition(" why: ")[2]
    assert "OLD" not in ran.out
    assert "It counts once it is part of main, so merge it there first:" in " ".join(ran.out.split())
    assert "gate" not in first


def test_beside_the_lines_of_a_pull_request_and_in_its_summary_it_reads_the_same(django: Repository, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    shell = Shell(environment={"GITHUB_STEP_SUMMARY": str(summary)})
    commands = [line for line in shell(*asked(django, "--format", "github")).out.splitlines() if line.startswith("::")]
    page = summary.read_text(encoding="utf-8").replace("\\", "")
    for place, (says, does) in TOLD.items():
        path, line = place.split(":")
        (one,) = [command for command in commands if f"file={path},line={line}," in command]
        assert says in one
        assert does in one
        (row,) = [row for row in page.splitlines() if f"| {place} |" in row]
        assert says in row
        assert does in row


CLAIM = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: cache}\n"


def test_manifests_of_a_folder_are_judged_beside_the_migrations_and_their_rules_are_decided(repository: Repository) -> None:
    repository.commit({"deploy/flags.yaml": CLAIM.replace("PersistentVolumeClaim", "ConfigMap")}, "main")
    repository.commit({"deploy/cache.yaml": CLAIM})
    ran = alone(*asked(repository, "--manifests", "deploy", "--json"))
    (finding,) = ran.document["findings"]
    assert (ran.code, finding["rule"], finding["path"], finding["line"]) == (5, "prune_deletes_no_data", "deploy/cache.yaml", 1)
    assert "prune_deletes_no_data" not in ran.document["not_decided"]
    assert ran.document["remarks"][0] == "deploy: 1 object in main, 2 in feature; the images are the same."
    assert alone(*asked(repository)).code == 0


def test_whether_deploys_prune_is_declared_in_the_older_revision(repository: Repository) -> None:
    repository.commit({"deploy/flags.yaml": CLAIM.replace("PersistentVolumeClaim", "ConfigMap"), ".backout.yaml": "manifests: {prune: true}"}, "main")
    repository.commit({"deploy/cache.yaml": CLAIM, ".backout.yaml": "manifests: {prune: false}"})
    assert alone(*asked(repository, "--manifests", "deploy")).code == 3


def test_a_folder_without_manifests_is_wrong_usage(repository: Repository) -> None:
    repository.commit({"src/app.py": "2"})
    ran = alone(*asked(repository, "--manifests", "deploi"))
    assert (ran.code, "neither main nor feature has a Kubernetes manifest in deploi" in ran.err) == (2, True)


# --- compared with what runs ----------------------------------------------------------------------------------------------


def sources(*images: tuple[str, str, str], why: str = "") -> dict[str, Any]:
    """The service's answer: (image, source repository, commit) each."""
    return {
        "target": "prod:checkout",
        "as_of": "2026-05-04T12:00:00Z",
        "release": None,
        "complete": bool(images) and all(revision for _, _, revision in images),
        "why": why,
        "images": [
            {"image": image, "digest": "sha256:" + "0" * 64, "repository": repository, "revision": revision, "why": "" if revision else "no label"}
            for image, repository, revision in images
        ],
        "links": {"self": "/v1/targets/prod%3Acheckout/sources"},
        "etag": '"0"',
    }


def against(repository: Repository, service: FakeService, shell: Shell, told: dict[str, Any], *more: str) -> Ran:
    service.on("GET", "/v1/targets/prod%3Acheckout/sources", lambda _: Said(document=told))
    return shell("check", "--repo", str(repository.folder), "--from", "deployed:prod:checkout", "--to", "feature", "--dialect", "postgres", *more)


def test_what_runs_is_compared_with_and_not_the_branch(repository: Repository, service: FakeService, shell: Shell) -> None:
    lives = repository.commit({"src/app.py": "2"}, "main")
    repository.commit({PATH: "alter table a drop column b;"}, "main")
    repository.commit({"src/app.py": "3"})
    told = sources(("web", "git.example/shop", lives), ("proxy", "git.example/other", "0" * 40))
    ran = against(repository, service, shell, told, "--json")
    assert (ran.code, ran.document["findings"][0]["rule"], ran.document["from"]) == (3, "column_dropped", "deployed:prod:checkout")
    assert ran.document["remarks"][0].endswith(f"built from {lives}.")
    assert alone(*asked(repository)).code == 0


def test_promise_1_an_image_of_unknown_source_is_unknown_and_can_be_waived(repository: Repository, service: FakeService, shell: Shell) -> None:
    waiver = "waivers: [{rule: source_not_known, path: '*', object: proxy, reason: not ours}]"
    lives = repository.commit({".backout.yaml": waiver}, "main")
    repository.commit({"src/app.py": "3"})
    ran = against(repository, service, shell, sources(("web", "git.example/shop", lives), ("worker", "", "")))
    assert (ran.code, "the image worker of prod:checkout was built is not known: no label" in " ".join(ran.out.split())) == (5, True)
    assert against(repository, service, shell, sources(("web", "git.example/shop", lives), ("proxy", "", ""))).code == 0


@pytest.mark.parametrize(
    ("told", "says", "clears"),
    [
        (sources(why="which release is live is not settled"), "which release is live is not settled", "backout check prod:checkout --all"),
        (sources(("web", "", "")), "from which commit prod:checkout was built is not known: web: no label", "org.opencontainers.image.revision"),
        (sources(("web", "git.example/shop", "0" * 40)), "this clone has no commit that prod:checkout was built from", "fetch-depth: 0"),
        (sources(("web", "git.example/shop", "--upload-pack=x")), "this clone has no commit that prod:checkout was built from", "fetch-depth: 0"),
    ],
)
def test_promise_1_a_source_that_nobody_knows_is_unknown_with_the_next_step(
    repository: Repository, service: FakeService, shell: Shell, told: dict[str, Any], says: str, clears: str
) -> None:
    repository.commit({"src/app.py": "3"})
    ran = against(repository, service, shell, told)
    assert (ran.code, says in ran.err, clears in ran.err) == (5, True, True), ran.err


def test_images_of_several_commits_of_one_repository_are_named(repository: Repository, service: FakeService, shell: Shell) -> None:
    two = [repository.commit({"src/app.py": number}, "main") for number in "45"]
    repository.commit({"src/app.py": "6"})
    ran = against(repository, service, shell, sources(*((name, "git.example/shop", one) for name, one in zip("ab", two, strict=True))))
    assert (ran.code, f"--from {two[0]}" in ran.err) == (5, True)


def test_without_a_service_the_question_is_no_yes(repository: Repository) -> None:
    repository.commit({"src/app.py": "3"})
    ran = alone("check", "--repo", str(repository.folder), "--from", "deployed:prod:checkout", "--to", "feature")
    assert (ran.code, "no service at" in ran.err) == (1, True)
