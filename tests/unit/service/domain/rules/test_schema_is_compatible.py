from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.catalog import FUNCTIONS, TRIGGERS, Catalog, CatalogColumn, CatalogTable, VersionTable
from service.domain.facts import Key, Known
from service.domain.keys import FileChange
from service.domain.model import Image, Way
from service.domain.own_statements import OwnStatement, OwnStatements
from service.domain.relaxed import Kind, Looked, Relaxed
from service.domain.rules.schema_is_compatible import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

PATH = "db/migrations/0042_drop_legacy.sql"
CODE = FileChange(path="shop/cart.py", change="modified")


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def migrated(*texts: str, path: str = PATH, change: str = "added") -> World:
    files = [FileChange(path=path.replace("0042", f"{42 + number:04}"), change=change, text=text) for number, text in enumerate(texts)]
    return world().tell(made.DIFFERENCE, made.difference(CODE, *files))


def differing(*files: FileChange, **changes: Any) -> World:
    return world().tell(made.DIFFERENCE, made.difference(*files, **changes))


def labelled(revision: str, repository: str = made.REPOSITORY) -> keys.ImageConfig:
    return keys.ImageConfig(labels={}, revision=revision, repository=repository)


def test_a_complete_difference_without_a_migration_passes_with_proof() -> None:
    finding = ask(world())
    assert finding.answer is Answer.PASS
    assert finding.says == "No migration between 77d0f1c and 9c1e2ab (1 file of git.example/shop/checkout differs)."
    assert {one.what for one in finding.evidence} >= {str(made.DIFFERENCE), str(made.RECORD_NEW), str(made.LABELS_OLD)}


def test_the_same_images_need_no_source_at_all() -> None:
    rendered = (Image(reference=made.OLD_IMAGE.reference),)
    same = world().tell(made.RECORD_NEW, made.record(made.SUSPECT, made.OLD_IMAGE)).tell(made.RENDERED_NEW, rendered)
    finding = ask(same)
    assert (finding.answer, finding.says) == (Answer.PASS, "Releases 42 and 41 run the same images, so no migration lies between them.")
    assert {key.kind for key in same.gathered(RULE)} == {"record", "rendered images", "state"}


def test_an_image_that_only_a_hook_runs_is_unknown_for_nobody_saw_what_it_migrates() -> None:
    migrator = Image(reference=f"registry.example/shop/migrate@sha256:{'c' * 64}", digest=f"sha256:{'c' * 64}", proof="reference")
    finding = ask(world().tell(made.RENDERED_NEW, (made.NEW_IMAGE, migrator)))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == "Release 42 also has registry.example/shop/migrate, which Backout never saw running (a hook or a Job?); what it migrates is unknown."


def test_a_release_that_cannot_be_rendered_may_hide_a_migrating_hook() -> None:
    finding = ask(world().hide(made.RENDERED_NEW))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says.startswith("Whether a hook or Job of release 42 migrates with an image of its own is unknown")


def test_images_built_anew_from_the_same_commit_pass() -> None:
    finding = ask(world().tell(made.LABELS_NEW, labelled(made.OLD_REVISION)))
    assert (finding.answer, finding.says) == (Answer.PASS, "Both releases were built from 77d0f1c of git.example/shop/checkout.")


def test_a_dropped_column_is_a_no_with_place_and_hotfix() -> None:
    finding = ask(migrated("-- clean up\n\nALTER TABLE orders DROP COLUMN legacy_status;\n"))
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.HOTFIX)
    assert finding.says == "Release 42 dropped column orders.legacy_status, which release 41 may still read."
    assert f"{PATH}:3" in {one.what for one in finding.evidence}
    assert "OLD" not in finding.clears
    assert finding.clears.endswith("Else ship a hotfix on 42.")


def test_a_column_that_the_old_release_cannot_fill_is_a_no() -> None:
    finding = ask(migrated("ALTER TABLE orders ADD COLUMN region text NOT NULL;"))
    assert finding.answer is Answer.BLOCK
    assert finding.says == "Release 42 added column orders.region NOT NULL without a default; release 41 may not run on that."


def test_a_table_that_was_dropped_is_a_no_whatever_else_the_range_does() -> None:
    finding = ask(migrated("CREATE TABLE a (id int);", "DROP TABLE orders;"))
    assert finding.answer is Answer.BLOCK
    assert "dropped table orders, which release 41 may still read" in finding.told


def test_a_migration_that_reads_as_harmless_is_a_warning_for_no_database_was_asked() -> None:
    finding = ask(migrated("CREATE TABLE gifts (id int);"))
    assert finding.answer is Answer.WARN
    assert finding.says == "By text release 41 can run on the schema of release 42; no database was asked."
    assert told(finding, "text") == [("pass", f"1 migration file ({PATH}): by the text release 41 can run on what they leave.")]


def test_a_migration_that_a_person_has_to_confirm_is_a_warning() -> None:
    finding = ask(migrated("CREATE UNIQUE INDEX one_mail ON users (mail);"))
    assert finding.answer is Answer.WARN
    assert finding.says == "Release 41 runs on what release 42 left only if a person confirms."
    assert told(finding, "text")[0][1].startswith(f"{PATH}:1 ")
    assert "OLD" not in finding.told + finding.clears


@pytest.mark.parametrize(
    "text",
    ["DO $$ BEGIN EXECUTE 'drop table orders'; END $$;", "UPDATE orders SET status = 'x';", "this is no SQL at all;", "ALTER TABLE orders FROBNICATE;"],
    ids=["do block", "data", "nonsense", "not understood"],
)
def test_a_statement_that_is_not_understood_is_unknown(text: str) -> None:
    finding = ask(migrated(text))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == "Whether release 41 can run on what release 42 left is unknown."
    assert told(finding, "text")[0][0] == "unknown"
    assert told(finding, "text")[0][1].startswith(PATH)


@pytest.mark.parametrize("change", ["deleted", "modified", "renamed"])
def test_a_migration_that_was_changed_after_the_fact_is_not_safe(change: str) -> None:
    assert ask(migrated("CREATE TABLE gifts (id int);", change=change)).answer is Answer.UNKNOWN


def test_a_change_of_a_kind_that_is_not_understood_is_unknown() -> None:
    assert ask(migrated("CREATE TABLE gifts (id int);", change="typechange")).answer is Answer.UNKNOWN


def test_a_migration_whose_text_could_not_be_had_is_unknown() -> None:
    finding = ask(differing(CODE, FileChange(path=PATH, change="added", text=None, why_no_text="it is larger than 1 MB")))
    assert finding.answer is Answer.UNKNOWN
    assert "larger than 1 MB" in finding.told


@pytest.mark.parametrize("path", ["app/migrations/0042_auto.py", "db/migrate/20260504_drop.rb", "alembic/versions/0042_drop.py"])
def test_a_migration_in_code_is_unknown_and_never_executed(path: str) -> None:
    assert ask(differing(CODE, FileChange(path=path, change="added", text="raise SystemExit"))).answer is Answer.UNKNOWN


@pytest.mark.parametrize("path", ["poetry.lock", "backend/Gemfile.lock", "requirements.txt"])
def test_a_changed_dependency_can_bring_migrations_of_its_own(path: str) -> None:
    finding = ask(differing(CODE, FileChange(path=path, change="modified")))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == f"{path} differs; a changed dependency can bring migrations of its own."


def test_a_dropped_column_speaks_before_a_changed_dependency() -> None:
    drop = FileChange(path=PATH, change="added", text="ALTER TABLE orders DROP COLUMN a;")
    finding = ask(differing(drop, FileChange(path="poetry.lock", change="modified")))
    assert finding.answer is Answer.BLOCK
    assert "poetry.lock" not in finding.says
    assert [answer for answer, _ in told(finding, "text")] == ["unknown", "block"]


def test_many_breaks_are_counted_and_not_all_told() -> None:
    finding = ask(migrated("".join(f"ALTER TABLE orders DROP COLUMN c{number};\n" for number in range(5))))
    assert finding.says == "Release 42 dropped column orders.c0, which release 41 may still read (and 4 more)."
    assert [says for _, says in told(finding, "text")][2:] == [f"{PATH}:3 drops column orders.c2, which release 41 may still read.", "2 more in 1 file."]


def test_exactly_as_many_breaks_as_are_told_leave_no_rest() -> None:
    finding = ask(migrated("".join(f"ALTER TABLE orders DROP COLUMN c{number};\n" for number in range(3))))
    assert not any("more in" in says for _, says in told(finding, "text"))


def test_a_source_that_goes_backwards_is_noted() -> None:
    assert ask(differing(backwards=True)).says.endswith("Release 42 is the older source of the two.")


def test_a_repository_that_holds_only_configuration_proves_nothing() -> None:
    finding = ask(differing(CODE, has_code=False))
    assert finding.answer is Answer.UNKNOWN
    assert "git.example/shop/checkout holds only configuration, so it cannot show whether there are migrations" in finding.told


@pytest.mark.parametrize("key", [made.LABELS_NEW, made.LABELS_OLD, made.DIFFERENCE], ids=["labels of 42", "labels of 41", "difference"])
def test_what_nobody_could_read_is_unknown_never_no_migrations(key: Key[object]) -> None:
    finding = ask(world().hide(key))
    assert finding.answer is Answer.UNKNOWN
    assert "the connection was refused" in finding.told


@pytest.mark.parametrize("key", [made.RECORD_NEW, made.RECORD_OLD], ids=["42", "41"])
def test_a_release_whose_images_are_not_known_is_unknown(key: Key[object]) -> None:
    finding = ask(world().hide(key))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says.startswith("Which source release 4")


@pytest.mark.parametrize(
    "config",
    [labelled(""), labelled(made.OLD_REVISION, repository=""), labelled("", repository="")],
    ids=["no revision", "no repository", "no label"],
)
def test_an_image_that_does_not_say_its_source_is_unknown(config: keys.ImageConfig) -> None:
    finding = ask(world().tell(made.LABELS_OLD, config))
    assert finding.answer is Answer.UNKNOWN
    assert "does not say which source revision it was built from." in finding.told


def test_code_of_a_repository_that_only_one_release_has_is_unknown() -> None:
    finding = ask(world().tell(made.LABELS_NEW, labelled(made.NEW_REVISION, repository="git.example/other")))
    assert finding.answer is Answer.UNKNOWN
    assert "so there is no range of migrations to read" in finding.told


@pytest.mark.parametrize("missing", [(None, None), (None, made.GOAL), (made.SUSPECT, None)])
def test_without_both_releases_there_is_no_range(missing: Any) -> None:
    suspect, goal = missing
    assert ask(world(suspect=suspect, goal=goal)).answer is Answer.UNKNOWN


def machines(new: keys.ImageConfig, old: keys.ImageConfig) -> World:
    """Both releases are of machines, whose images are in no registry."""
    bad, good = (Image(reference=name, digest=name, proof="reference") for name in ("ami-2", "ami-1"))
    told = world().tell(made.RECORD_NEW, made.record(made.SUSPECT, bad)).tell(made.RECORD_OLD, made.record(made.GOAL, good)).tell(made.RENDERED_NEW, (bad,))
    told.tell(keys.machine_image(made.TARGET, made.SUSPECT.key, made.SUSPECT.handle), new)
    return told.tell(keys.machine_image(made.TARGET, made.GOAL.key, made.GOAL.handle), old)


def test_images_of_machines_say_their_source_through_the_delivery_system() -> None:
    told = machines(replace(labelled(made.NEW_REVISION), derived=True), labelled(made.OLD_REVISION))
    assert ask(told).says == "No migration between 77d0f1c and 9c1e2ab (1 file of git.example/shop/checkout differs)."
    assert "image labels" not in {key.kind for key in told.gathered(RULE)}
    drop = FileChange(path=PATH, change="added", text="DROP TABLE orders;")
    assert ask(told.tell(made.DIFFERENCE, made.difference(drop))).answer is Answer.BLOCK
    silent = ask(machines(labelled(""), labelled(made.OLD_REVISION)))
    assert (silent.answer, silent.says) == (Answer.UNKNOWN, "The image ami-2 does not say which source revision it was built from.")


def test_what_a_machine_image_declares_by_its_tags_counts() -> None:
    never = replace(labelled(made.NEW_REVISION), labels={"backout.dev/never-rollback": "true"})
    assert ask(machines(never, labelled(made.OLD_REVISION))).answer is Answer.BLOCK


def test_promise_1_one_commit_that_a_tool_worked_out_for_both_proves_nothing_before_its_repository_is_seen_to_have_it() -> None:
    """A build that checks out a shared library too names that library's commit for every release."""
    library = replace(labelled(made.OLD_REVISION), derived=True)
    there = keys.source_change(made.REPOSITORY, made.OLD_REVISION, made.OLD_REVISION)
    finding = ask(machines(library, library))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == "Whether git.example/shop/checkout has 77d0f1c, which both images name, is unknown."
    seen = ask(machines(library, library).tell(there, replace(made.difference(), files=())))
    assert (seen.answer, seen.says) == (Answer.PASS, "Both releases were built from 77d0f1c of git.example/shop/checkout.")
    assert str(there) in {one.what for one in seen.evidence}
    only_configuration = ask(machines(library, library).tell(there, made.difference(has_code=False)))
    assert only_configuration.answer is Answer.UNKNOWN


WORKER_DIGEST = "sha256:" + "8" * 64
WORKER = Image(reference="registry.example/shop/worker:2.5.0", digest=WORKER_DIGEST, proof="pods")
WORKER_LABELS = keys.image_config(f"registry.example/shop/worker@{WORKER_DIGEST}")


def test_a_new_image_of_the_same_source_is_covered_by_that_sources_range() -> None:
    both = replace(made.record(made.SUSPECT, None), images=(made.NEW_IMAGE, WORKER))
    told = world().tell(made.RECORD_NEW, both).tell(WORKER_LABELS, labelled(made.NEW_REVISION))
    assert ask(told).answer is Answer.PASS


def test_images_of_two_source_revisions_are_each_compared() -> None:
    both = replace(made.record(made.SUSPECT, None), images=(made.NEW_IMAGE, WORKER))
    other = "5" * 40
    drop = FileChange(path=PATH, change="added", text="DROP TABLE orders;")
    told = world().tell(made.RECORD_NEW, both).tell(WORKER_LABELS, labelled(other))
    told.tell(keys.source_change(made.REPOSITORY, made.OLD_REVISION, other), made.difference(drop, new=other))
    assert ask(told).answer is Answer.BLOCK


@pytest.mark.parametrize("side", [made.RECORD_NEW, made.RECORD_OLD], ids=["only in 42", "only in 41"])
def test_an_image_that_only_one_release_runs_is_not_passed_over(side: Key[Any]) -> None:
    release, image = (made.SUSPECT, made.OLD_IMAGE) if side == made.RECORD_NEW else (made.GOAL, made.OLD_IMAGE)
    both = replace(made.record(release, None), images=(image, WORKER))
    told = world().tell(made.RECORD_NEW, made.record(made.SUSPECT, made.OLD_IMAGE)).tell(side, both).tell(WORKER_LABELS, labelled("6" * 40))
    told = told.tell(made.RENDERED_NEW, (Image(reference=made.OLD_IMAGE.reference),))
    finding = ask(told)
    assert finding.answer is Answer.UNKNOWN
    assert f"Only the release to {'leave' if side == made.RECORD_NEW else 'go back to'} ({release.handle}) has code of" in finding.told


def test_an_image_that_both_releases_run_is_left_out_of_the_range() -> None:
    new = replace(made.record(made.SUSPECT, None), images=(made.NEW_IMAGE, WORKER))
    old = replace(made.record(made.GOAL, None), images=(made.OLD_IMAGE, WORKER))
    told = world().tell(made.RECORD_NEW, new).tell(made.RECORD_OLD, old)
    assert WORKER_LABELS not in told.gathered(RULE)
    assert ask(told).answer is Answer.PASS


def test_it_asks_for_the_configuration_revision_of_neither_release() -> None:
    subjects = str([key.subject for key in world().gathered(RULE)])
    assert made.SUSPECT.revision not in subjects
    assert made.GOAL.revision not in subjects


@pytest.mark.parametrize(
    "rendered",
    [made.NEW_IMAGE, Image(reference=made.NEW_IMAGE.reference), Image(reference=f"{made.NEW_IMAGE.repository}:v2.5.0")],
    ids=["by digest", "same reference without proof", "by tag"],
)
def test_promise_1_a_record_that_the_manifests_contradict_is_unknown_and_not_the_same_images(rendered: Image) -> None:
    """The pods of the old release still ran when the new one was recorded: the record says `same images`, the manifest says otherwise."""
    poisoned = world().tell(made.RECORD_NEW, made.record(made.SUSPECT, made.OLD_IMAGE)).tell(made.RENDERED_NEW, (rendered,))
    finding = ask(poisoned)
    assert finding.answer is Answer.UNKNOWN
    assert "other pods were recorded as its own" in finding.told


# --- the databases ---

ORDERS = CatalogTable(columns={"id": CatalogColumn(type="bigint", required=True, given=True), "legacy_status": CatalogColumn(type="text")})
THEN = Catalog(tables={"public.orders": ORDERS})
GONE = Catalog(tables={"public.orders": replace(ORDERS, columns={"id": ORDERS.columns["id"]})})
TIGHTER = Catalog(tables={"public.orders": replace(ORDERS, rules=frozenset({"CHECK ((id > 0))"}))})
HARMLESS, BREAKING = "ALTER TABLE orders ADD COLUMN note text;", "ALTER TABLE orders DROP COLUMN legacy_status;"
NOW, BEFORE = keys.catalog("orders"), keys.catalog_then(made.TARGET, made.GOAL.key, "orders")


def told(finding: Finding, source: str) -> list[tuple[str, str]]:
    """What one line of evidence says by itself."""
    return [(one.answer.word, one.says) for one in finding.lines if one.source == source]


def asked(of: World, now: Catalog | None = THEN, then: Catalog | None = THEN) -> World:
    """The same world with a database that is declared, its dialect too; None is what nobody could read."""
    of.policy = replace(of.policy, declares=replace(of.policy.declares, databases=("orders",)))
    change = of.answers[made.DIFFERENCE]
    assert isinstance(change, Known)
    of.tell(made.DIFFERENCE, replace(change.value, dialect="postgres"))
    for key, catalog in ((NOW, now), (BEFORE, then)):
        of.hide(key) if catalog is None else of.tell(key, catalog)
    return of


def test_text_and_database_that_agree_pass_with_the_evidence_of_both() -> None:
    finding = ask(asked(migrated(HARMLESS)))
    assert finding.answer is Answer.PASS
    assert finding.says == (
        "Release 42 came with 1 migration file; by their text release 41 can run on that schema, and orders still has everything that release 41 had."
    )
    assert {str(NOW), str(BEFORE), str(made.DIFFERENCE)} <= {one.what for one in finding.evidence}


def test_what_the_database_shows_to_be_gone_is_a_no_whatever_the_text_says() -> None:
    for of in (migrated(HARMLESS), migrated(BREAKING), world(), migrated("SELECT do_it();")):
        finding = ask(asked(of, GONE))
        assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.HOTFIX)
        assert "In database orders column public.orders.legacy_status is gone: release 41 was made for it." in finding.told
        assert "Bring column public.orders.legacy_status back." in finding.clears


def test_promise_1_text_and_database_that_disagree_are_unknown() -> None:
    finding = ask(asked(migrated(BREAKING)))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == "Text and database disagree whether release 41 can run on the schema of release 42."
    assert told(finding, "text") == [("block", f"{PATH}:1 drops column orders.legacy_status, which release 41 may still read.")]
    assert told(finding, "database") == [("pass", "Orders still has everything that release 41 had.")]
    assert "Find out whether that migration ran there" in finding.clears


def test_promise_1_a_database_that_agrees_makes_no_sense_of_a_text_that_nobody_understood() -> None:
    assert ask(asked(migrated("DO $$ BEGIN EXECUTE 'x'; END $$;"))).answer is Answer.UNKNOWN
    assert ask(asked(migrated("UPDATE orders SET note = 'x';"))).answer in {Answer.WARN, Answer.UNKNOWN}


def test_what_may_refuse_the_old_release_is_a_warning() -> None:
    finding = ask(asked(migrated(HARMLESS), TIGHTER))
    assert finding.answer is Answer.WARN
    assert finding.says == "Release 41 runs on what release 42 left only if a person confirms."
    assert told(finding, "database") == [("warn", "In database orders table public.orders has a new rule: CHECK ((id > 0)); release 41 may not expect that.")]


def test_what_the_role_may_not_see_of_a_database_is_a_warning() -> None:
    for of in (migrated(HARMLESS), world()):
        finding = ask(asked(of, replace(THEN, unseen=(TRIGGERS, FUNCTIONS))))
        assert finding.answer is Answer.WARN
        assert finding.says == "Backout's role may not see triggers and routines of database orders."
        assert "docs/databases.md" in finding.clears


@pytest.mark.parametrize(("now", "then"), [(None, THEN), (THEN, None), (None, None)], ids=["not now", "not then", "neither"])
def test_promise_1_a_declared_database_that_could_not_be_seen_is_unknown_where_there_are_migrations(now: Catalog | None, then: Catalog | None) -> None:
    finding = ask(asked(migrated(HARMLESS), now, then))
    assert finding.answer is Answer.UNKNOWN
    assert finding.clears


def test_where_the_text_proves_that_there_is_no_migration_an_unseen_database_is_no_doubt() -> None:
    assert ask(asked(world(), None, None)).answer is Answer.PASS


def test_a_migration_that_runs_right_now_is_a_no() -> None:
    finding = ask(asked(world(), Catalog(tables={}, busy="public.orders is locked")))
    assert finding.answer is Answer.BLOCK
    assert finding.says.endswith("The schema of database orders is being changed right now: public.orders is locked.")


def test_forward_todays_schema_says_nothing_of_what_the_new_release_will_leave() -> None:
    ahead = made.forward_world(policy=replace(made.POLICY, declares=replace(made.POLICY.declares, databases=("orders",))))
    assert ask(ahead).answer is Answer.PASS


def test_every_database_has_to_agree() -> None:
    of = asked(migrated(HARMLESS))
    of.policy = replace(of.policy, declares=replace(of.policy.declares, databases=("orders", "events")))
    of.tell(keys.catalog("events"), GONE).tell(keys.catalog_then(made.TARGET, made.GOAL.key, "events"), THEN)
    assert "In database events column public.orders.legacy_status is gone" in ask(of).told


# --- the statements that the old release ran ---

UNUSED = (
    "In database orders column public.orders.legacy_status is gone, but no use of that is among the 1 statement that release 41 was seen to run "
    "(watched for 2 d since 2026-05-04 14:03 UTC)."
)
USING = "SELECT legacy_status FROM orders WHERE id = $1"


def having_run(of: World, now: Catalog, code: str, *, days: int = 2, then: Catalog | None = THEN) -> World:
    """The declared database, where the old release was seen to run one statement for so many days, and what preparing that says today."""
    statement = OwnStatement(text=USING, first=made.NOW, last=made.NOW, calls=3)
    kept = OwnStatements(since=made.NOW, at=made.NOW, handle="41", watched=timedelta(days=days), statements=(statement,))
    asked(of, now, then).tell(keys.statements_then(made.TARGET, made.GOAL.key, "orders"), kept)
    return of.tell(keys.prepared("orders", now.digest, kept.texts), (code,))


def test_a_statement_that_cannot_be_prepared_any_more_is_a_no_whatever_the_text_says() -> None:
    for of in (migrated(HARMLESS), migrated(BREAKING), world(), migrated("SELECT do_it();")):
        finding = ask(having_run(of, GONE, "42703"))
        assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.HOTFIX)
        says = f"In database orders 1 of 1 statement that release 41 ran cannot be prepared any more: {USING} (a column is gone)."
        assert (Answer.BLOCK, says) in [(one.answer, one.says) for one in finding.lines if one.source == "database"]


def test_promise_1_what_no_statement_uses_is_for_a_person_to_confirm_and_never_a_yes() -> None:
    finding = ask(having_run(migrated(BREAKING), GONE, ""))
    assert (finding.answer, finding.overridable) == (Answer.UNKNOWN, False)
    assert [(one.source, one.answer, one.says) for one in finding.lines][:2] == [
        ("text", Answer.BLOCK, f"{PATH}:1 drops column orders.legacy_status, which release 41 may still read."),
        (
            "database",
            Answer.UNKNOWN,
            UNUSED,
        ),
    ]
    assert finding.clears.startswith("A person who knows release 41 confirms that nothing else in it uses that: jobs that run seldom, functions, triggers.")


@pytest.mark.parametrize(
    "of",
    [having_run(migrated(BREAKING), GONE, "", days=0), having_run(migrated(f"{BREAKING} ALTER TABLE orders ADD COLUMN region text NOT NULL;"), GONE, "")],
    ids=["watched too short", "the text says more than that"],
)
def test_promise_1_statements_take_no_other_no_away(of: World) -> None:
    assert ask(of).answer is Answer.BLOCK


@pytest.mark.parametrize("sql", ["DO $$ BEGIN EXECUTE 'x'; END $$;", "UPDATE orders SET note = 'x';"])
def test_promise_1_statements_that_hold_make_no_yes_of_a_text_that_is_none(sql: str) -> None:
    assert ask(having_run(migrated(sql), THEN, "")).answer is not Answer.PASS
    assert ask(having_run(migrated(sql), TIGHTER, "")).answer is not Answer.PASS


def test_promise_1_statements_that_hold_make_no_yes_without_a_catalogue_to_compare_with() -> None:
    assert ask(having_run(migrated(HARMLESS), THEN, "", then=None)).answer is Answer.UNKNOWN


def test_a_yes_names_the_statements_that_hold() -> None:
    finding = ask(having_run(migrated(HARMLESS), replace(THEN, functions=frozenset({"public.new()"})), ""))
    assert finding.answer is Answer.PASS
    assert "also for the 1 statement that release 41 was seen to run" in finding.says


# --- what ran, by the version tables ---

RAILS = VersionTable(tool="Rails or dbmate", table="public.schema_migrations", names=frozenset({"41"}))


def versioned(of: World, *names: str, then: Catalog = THEN) -> World:
    """The declared database, with a version table that held 41 while the old release lived, and these names now."""
    return asked(of, replace(then, applied=(replace(RAILS, names=frozenset({"41", *names})),)), replace(then, applied=(RAILS,)))


def test_migrations_that_ran_as_git_says_pass() -> None:
    assert ask(versioned(migrated(HARMLESS), "42")).answer is Answer.PASS


def test_a_migration_that_would_break_and_has_not_run_is_a_persons_to_keep_away() -> None:
    finding = ask(versioned(migrated(BREAKING)))
    assert finding.answer is Answer.WARN
    assert finding.says == "By their text the migrations of release 42 stand in the way; none has run yet."
    assert told(finding, "database") == [("warn", f"By the version tables no migration of release 42 has run yet ({PATH}).")]


def test_promise_1_a_breaking_migration_that_ran_where_nothing_is_gone_stays_a_disagreement() -> None:
    finding = ask(versioned(migrated(BREAKING), "42"))
    assert (finding.answer, finding.says.startswith("Text and database disagree")) == (Answer.UNKNOWN, True)


@pytest.mark.parametrize("of", [world(), migrated(HARMLESS)], ids=["no migration in Git", "a harmless one"])
def test_promise_1_a_migration_that_git_does_not_know_is_unknown_whatever_the_text_says(of: World) -> None:
    finding = ask(versioned(of, "42", "77") if of.answers[made.DIFFERENCE] != world().answers[made.DIFFERENCE] else versioned(of, "77"))
    assert finding.answer is Answer.UNKNOWN
    assert "77 ran after release 41 lived, which is not among the migrations in Git" in finding.told


# --- what rows the new release left ---

WIDE = Catalog(tables={"public.orders": replace(ORDERS, columns={**ORDERS.columns, "id": CatalogColumn(type="bigint", given=True)})})
NULLED = Relaxed(table="public.orders", column="id", kind=Kind.NULL, about="public.orders.id NULL")
LOOSENING = "ALTER TABLE orders ALTER COLUMN id DROP NOT NULL;"


def with_rows(found: bool | None) -> World:
    of = asked(migrated(LOOSENING), WIDE)
    return of.tell(keys.left_rows("orders", (NULLED,)), (Looked(relaxed=NULLED, found=found, why="" if found is not None else "no right to read it"),))


def test_a_row_that_the_old_release_cannot_read_is_a_no_with_a_hotfix() -> None:
    finding = ask(with_rows(found=True))
    assert (finding.answer, finding.instead, finding.overridable) == (Answer.BLOCK, Way.HOTFIX, True)
    assert finding.says == "In database orders public.orders.id holds NULL: release 41 was made for rows without."


def test_promise_1_rows_that_nobody_could_look_at_are_unknown() -> None:
    finding = ask(with_rows(found=None))
    assert finding.answer is Answer.UNKNOWN
    assert "Nobody can say whether in database orders public.orders.id holds NULL (no right to read it)." in finding.told


def test_rows_that_keep_to_the_old_limit_leave_the_text_to_speak() -> None:
    finding = ask(with_rows(found=False))
    assert finding.answer is Answer.WARN
    assert "database" not in finding.says


# --- what the release declares, and the three lines together ---


def declaring(of: World, new: dict[str, str], old: dict[str, str] | None = None) -> World:
    of.tell(made.LABELS_NEW, replace(labelled(made.NEW_REVISION), labels=new))
    return of.tell(made.LABELS_OLD, replace(labelled(made.OLD_REVISION), labels=old or {}))


CONTRACT, EXPAND = {"backout.dev/phase": "contract"}, {"backout.dev/phase": "expand"}


def test_a_declaration_says_no_at_once_even_where_text_and_databases_say_yes() -> None:
    for of in (world(), asked(migrated(HARMLESS))):
        finding = ask(declaring(of, CONTRACT))
        assert (finding.answer, finding.instead, finding.overridable) == (Answer.BLOCK, Way.HOTFIX, True)
        assert finding.says == "Release 42 declares the phase contract: it takes away what older releases use."


def test_promise_1_a_declaration_never_makes_a_yes_of_what_text_or_databases_say() -> None:
    for of, answer in (
        (migrated(BREAKING), Answer.BLOCK),
        (asked(world(), GONE), Answer.BLOCK),
        (asked(migrated(BREAKING)), Answer.UNKNOWN),
        (migrated(HARMLESS), Answer.WARN),
    ):
        assert ask(declaring(of, EXPAND)).answer is answer


def test_a_harmless_declaration_stands_in_no_yes_way() -> None:
    assert ask(declaring(world(), EXPAND)).answer is Answer.PASS


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (asked(migrated(BREAKING), GONE), "text block, database block, declared unknown"),
        (asked(migrated(HARMLESS), GONE), "text pass, database block, declared unknown"),
        (asked(migrated(BREAKING)), "text block, database pass, declared unknown"),
        (asked(migrated(HARMLESS), None), "text pass, database unknown, declared unknown"),
        (declaring(asked(migrated(HARMLESS)), CONTRACT), "text pass, database pass, declared block"),
        (declaring(migrated(BREAKING), EXPAND), "text block, database unknown, declared pass"),
        (migrated(BREAKING), "text block, database unknown, declared unknown"),
        (asked(migrated(HARMLESS)), ""),
    ],
)
def test_what_is_no_yes_tells_what_each_line_of_evidence_says(of: World, says: str) -> None:
    assert ", ".join(f"{one.source} {one.answer.word}" for one in ask(of).lines) == says


@pytest.mark.parametrize(
    "of",
    [
        migrated("ALTER TABLE a_table_with_quite_a_name_of_its_own DROP COLUMN a_column_whose_name_nobody_can_remember_at_night;"),
        migrated("this is no SQL at all;"),
        asked(migrated(BREAKING), GONE),
        asked(migrated(HARMLESS), TIGHTER),
        world().hide(made.LABELS_NEW),
        differing(CODE, has_code=False),
    ],
)
def test_the_headline_of_what_is_no_yes_is_read_at_a_glance(of: World) -> None:
    finding = ask(of)
    assert finding.answer is not Answer.PASS
    assert len(finding.says) <= 100
    assert {one.source for one in finding.lines} == {"text", "database", "declared"}
    assert all(one.says.endswith(".") and one.says[:1] != " " for one in finding.lines)


def test_the_hotfix_is_offered_once_however_many_lines_of_evidence_know_no_better() -> None:
    finding = ask(declaring(asked(migrated(BREAKING), GONE), CONTRACT))
    assert finding.clears.count("ship a hotfix on 42") == 1
    assert finding.clears.endswith("Else ship a hotfix on 42.")


# --- whether the old release starts ---

REVISION = """import sqlalchemy as sa
from alembic import op
revision = "42"
down_revision = "41"
def upgrade():
    op.add_column("orders", sa.Column("note", sa.Text(), nullable=True))
"""
ALEMBIC = VersionTable(tool="Alembic", table="public.alembic_version", names=frozenset({"41"}))


def starting(migrates: bool | None, head: str = "42") -> World:
    of = migrated(REVISION, path="alembic/versions/0042_note.py")
    of = asked(of, replace(THEN, applied=(replace(ALEMBIC, names=frozenset({head})),)), replace(THEN, applied=(ALEMBIC,)))
    of.policy = replace(of.policy, declares=replace(of.policy.declares, migrates_at_start=migrates))
    return of


@pytest.mark.parametrize(("migrates", "answer"), [(True, Answer.BLOCK), (None, Answer.WARN), (False, Answer.PASS)])
def test_a_tool_that_does_not_know_what_ran_stops_a_release_that_migrates_when_it_starts(migrates: bool | None, answer: Answer) -> None:
    finding = ask(starting(migrates))
    assert finding.answer is answer
    assert ("Alembic stops at migrations of release 42, which it does not know." in finding.told) is (answer is not Answer.PASS)


def test_what_has_not_run_stops_nobody() -> None:
    assert "which it does not know" not in ask(starting(True, head="41")).told


def test_each_sentence_is_said_once() -> None:
    of = asked(migrated(HARMLESS), None, None)
    of.policy = replace(of.policy, declares=replace(of.policy.declares, databases=("orders", "events")))
    says = " ".join(one.says for one in ask(of.hide(keys.catalog("events"))).lines)
    assert says.count("database orders is now") == says.count("database events is now") == 1


EXAMPLES: made.Examples = {
    "no migration lies between them": world(),
    "a column was dropped": migrated("ALTER TABLE orders DROP COLUMN legacy_status;"),
    "a column was added, and no database is declared": migrated(HARMLESS),
    "a column was added, and the declared database agrees": asked(migrated(HARMLESS)),
    "the declared database lacks something": asked(world(), GONE),
    "a statement that the old release ran cannot be prepared any more": having_run(migrated(HARMLESS), GONE, "42703"),
    "what is gone was used by none of the statements that the old release ran": having_run(migrated(BREAKING), GONE, ""),
    "text and database disagree": asked(migrated(BREAKING)),
    "a column would be dropped, but by the version table that has not run": versioned(migrated(BREAKING)),
    "the old release migrates when it starts, with a tool that does not know what ran": starting(True),
    "the release declares that it takes away what older ones use": declaring(asked(migrated(HARMLESS)), CONTRACT),
    "a row holds what the old release cannot read": with_rows(found=True),
    "the version table has a migration that Git does not know": versioned(migrated(HARMLESS), "42", "77"),
    "a statement that cannot be read": migrated("DO $$ BEGIN EXECUTE 'x'; END $$;"),
    "the image does not name its commit": world().tell(made.LABELS_NEW, labelled("", "")),
    "the repository cannot be read": world().hide(made.DIFFERENCE),
}


# --- what a person waived in Git before -----------------------------------------------------------------------------------


WAIVER = "waivers: [{rule: column_dropped, path: 'db/*', object: orders.legacy_status, reason: nothing reads it}]"


def waived(of: World, text: str = WAIVER, **more: Any) -> World:
    """The same change, with a `.backout.yaml` in the older revision."""
    change = of.answers[made.DIFFERENCE]
    assert isinstance(change, Known)
    return of.tell(made.DIFFERENCE, replace(change.value, declarations=text, **more))


def test_a_waiver_that_was_merged_before_makes_a_block_a_persons_tick() -> None:
    finding = ask(waived(migrated(BREAKING)))
    assert finding.answer is Answer.WARN
    assert told(finding, "declared")[0] == ("warn", f"{PATH}:1 is waived in .backout.yaml of release 41: nothing reads it.")
    assert any(one.what.startswith(".backout.yaml at ") for one in finding.evidence)


def test_a_waiver_makes_a_yes_only_where_every_database_agrees() -> None:
    finding = ask(waived(asked(migrated(BREAKING))))
    assert finding.answer is Answer.PASS
    assert "What would break by its text is waived in .backout.yaml of release 41, and every database agrees." in finding.says


@pytest.mark.parametrize(
    "of",
    [
        waived(asked(migrated(BREAKING), GONE)),
        waived(migrated("ALTER TABLE orders DROP COLUMN other;")),
        waived(migrated("DROP TABLE orders;")),
        waived(migrated(BREAKING), "waivers: [{rule: column_dropped, path: '*', reason: a, until: 2020-01-01}]"),
        waived(migrated(BREAKING), backwards=True),
        declaring(waived(migrated(BREAKING)), CONTRACT),
    ],
    ids=["the database shows it gone", "another column", "another rule", "run out", "the older source", "the release says contract"],
)
def test_promise_1_a_waiver_clears_nothing_but_what_it_names_in_the_text(of: World) -> None:
    assert ask(of).answer is Answer.BLOCK


def test_promise_1_a_waiver_that_the_change_itself_brings_does_not_count() -> None:
    own = FileChange(path=".backout.yaml", change="added", text="waivers: [{rule: column_dropped, path: '*', reason: mine}]")
    assert ask(differing(FileChange(path=PATH, change="added", text=BREAKING), own)).answer is Answer.BLOCK


def test_declarations_that_cannot_be_read_count_for_nothing_and_are_told() -> None:
    finding = ask(waived(migrated(BREAKING), "waivers: nonsense"))
    assert finding.answer is Answer.BLOCK
    assert told(finding, "declared")[0] == ("unknown", ".backout.yaml of release 41 has `waivers` that are no list, so nothing in it counts.")


# --- what stands on the target itself -------------------------------------------------------------------------------------


def annotated(of: World, **annotations: str) -> World:
    """The same world, with annotations on the target."""
    state = of.answers[made.STATE]
    assert isinstance(state, Known)
    return of.tell(made.STATE, replace(state.value, declares={f"backout.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}))


def same_images() -> World:
    return world().tell(made.RECORD_NEW, made.record(made.SUSPECT, made.OLD_IMAGE)).tell(made.RENDERED_NEW, (made.OLD_IMAGE,))


@pytest.mark.parametrize("of", [world, same_images, lambda: asked(migrated(HARMLESS)), lambda: waived(asked(migrated(BREAKING)))])
def test_an_annotation_of_the_target_says_no_at_once_whatever_else_says_yes(of: Callable[[], World]) -> None:
    assert ask(of()).answer is Answer.PASS
    finding = ask(annotated(of(), never_rollback="the key was rotated"))
    assert finding.answer is Answer.BLOCK
    assert ("block", "The target prod:checkout declares that nobody goes back over it: the key was rotated.") in told(finding, "declared")


def test_promise_1_no_annotation_makes_anything_better() -> None:
    for of in (migrated(BREAKING), migrated(HARMLESS), asked(migrated(BREAKING)), world()):
        assert ask(annotated(of, phase="none", data_change="none")).answer is ask(of).answer
    assert ask(annotated(world(), phase="who knows")).answer is Answer.UNKNOWN
    assert ask(world().hide(made.STATE)).answer is Answer.UNKNOWN


def test_a_floor_on_the_target_is_about_each_image_that_would_come_back() -> None:
    old = {"backout.dev/schema-version": "83"}
    assert ask(annotated(declaring(world(), {}, old), min_compatible_schema="84")).answer is Answer.BLOCK
    assert ask(annotated(declaring(world(), {}, old), min_compatible_schema="83")).answer is Answer.PASS
