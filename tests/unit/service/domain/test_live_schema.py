from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.catalog import TRIGGERS, Catalog, CatalogColumn, CatalogTable, VersionTable
from service.domain.keys import FileChange
from service.domain.live_schema import LiveSchema, catalog_keys, live_schema
from service.domain.model import Way
from service.domain.own_statements import OwnStatement, OwnStatements
from service.domain.relaxed import Kind, Looked, Relaxed
from service.domain.verdict import Answer
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

ORDERS = CatalogTable(columns={"id": CatalogColumn(type="bigint"), "status": CatalogColumn(type="text")})
FILES = (
    FileChange(path="shop/migrations/0002_b.py", change="added", text=""),
    FileChange(path="shop/migrations/0003_c.py", change="added", text=""),
    FileChange(path="shop/cart.py", change="modified"),
)


def django(*names: str, **changes: Any) -> VersionTable:
    return VersionTable(**({"tool": "Django", "table": "public.django_migrations", "names": frozenset(names)} | changes))


THEN = Catalog(tables={"public.orders": ORDERS}, applied=(django("shop.0001_a"),))
BOTH = django("shop.0001_a", "shop.0002_b", "shop.0003_c")


def declared(*names: str) -> World:
    of = world()
    of.policy = replace(of.policy, declares=replace(of.policy.declares, databases=names or ("orders",)))
    return of


def seen(now: Catalog | None, then: Catalog | None = THEN, files: tuple[FileChange, ...] = FILES) -> LiveSchema:
    of = declared()
    for key, catalog in ((keys.catalog("orders"), now), (keys.catalog_then(made.TARGET, made.GOAL.key, "orders"), then)):
        of.hide(key) if catalog is None else of.tell(key, catalog)
    return live_schema(of.case(), made.SUSPECT, made.GOAL, files)


def with_table(*tables: VersionTable, **changes: Any) -> Catalog:
    return replace(THEN, applied=tables, **changes)


def sentences(live: LiveSchema) -> list[tuple[Answer, str]]:
    assert all(one.clears for one in live.all)
    return [(one.answer, one.says) for one in live.all]


def test_nothing_declared_asks_nothing() -> None:
    assert live_schema(world().case(), made.SUSPECT, made.GOAL, FILES) == LiveSchema()
    assert list(catalog_keys(world().case(), made.GOAL)) == []


def test_every_declared_database_is_asked_for_now_and_then() -> None:
    asked = list(catalog_keys(declared("orders", "events").case(), made.GOAL))
    assert asked == [
        keys.catalog("orders"),
        keys.catalog_then(made.TARGET, made.GOAL.key, "orders"),
        keys.statements_then(made.TARGET, made.GOAL.key, "orders"),
        keys.catalog("events"),
        keys.catalog_then(made.TARGET, made.GOAL.key, "events"),
        keys.statements_then(made.TARGET, made.GOAL.key, "events"),
    ]


def test_all_is_there_and_every_migration_ran() -> None:
    live = seen(with_table(BOTH))
    assert (live.agrees, live.has_all, live.not_run, live.all) == (True, True, False, ())
    assert live.says == "orders still has everything that release 41 had"
    assert len(live.evidence) == 2


@pytest.mark.parametrize(("now", "then", "says"), [(None, THEN, "is now is unknown"), (THEN, None, "What release 41 needs of database orders is unknown")])
def test_promise_1_what_could_not_be_read_is_a_doubt_and_nothing_agrees(now: Catalog | None, then: Catalog | None, says: str) -> None:
    live = seen(now, then)
    ((answer, sentence),) = sentences(live)
    assert (answer, says in sentence, live.findings) == (Answer.UNKNOWN, True, ())
    assert (live.agrees, live.has_all, live.not_run) == (False, False, False)


def test_what_is_gone_blocks_and_what_is_unseen_warns() -> None:
    gone = with_table(BOTH, tables={"public.orders": replace(ORDERS, columns={"id": ORDERS.columns["id"]})}, unseen=(TRIGGERS,))
    live = seen(gone)
    assert sentences(live) == [
        (Answer.BLOCK, "In database orders column public.orders.status is gone: release 41 was made for it."),
        (Answer.WARN, "Backout's role may not see triggers of database orders."),
    ]
    assert (live.findings[0].instead, live.findings[0].overridable, live.has_all) == (Way.HOTFIX, True, False)


def test_a_schema_that_is_being_changed_blocks() -> None:
    assert sentences(seen(Catalog(tables={}, busy="public.orders is locked"))) == [
        (Answer.BLOCK, "The schema of database orders is being changed right now: public.orders is locked.")
    ]


def test_a_migration_that_git_does_not_know_is_unknown_whatever_the_text_says() -> None:
    live = seen(with_table(django(*BOTH.names, "shop.0009_hand")), files=FILES)
    ((answer, says),) = sentences(live)
    assert answer is Answer.UNKNOWN
    assert says == (
        "By the version table public.django_migrations (Django) of database orders shop.0009_hand ran after release 41 lived, "
        "which is not among the migrations in Git."
    )
    assert live.findings
    assert live.has_all
    assert not live.agrees


def test_a_migration_that_was_taken_back_is_unknown() -> None:
    ((answer, says),) = sentences(seen(with_table(django("shop.0002_b", "shop.0003_c"))))
    assert (answer, "shop.0001_a ran while release 41 lived, and is not written there any more" in says) == (Answer.UNKNOWN, True)


def test_what_the_text_tells_and_no_database_has_done_has_not_happened_yet() -> None:
    live = seen(THEN)
    assert sentences(live) == [
        (Answer.WARN, "By the version tables no migration of release 42 has run yet (shop/migrations/0002_b.py, shop/migrations/0003_c.py).")
    ]
    assert (live.not_run, live.has_all) == (True, True)


def test_a_range_that_ran_in_part_is_unknown() -> None:
    live = seen(with_table(django("shop.0001_a", "shop.0002_b")))
    assert sentences(live) == [(Answer.UNKNOWN, "Of the migrations of release 42 1 ran and shop/migrations/0003_c.py did not.")]
    assert not live.not_run


def test_what_failed_since_blocks_and_what_lived_with_the_old_release_does_not() -> None:
    failed = django(*BOTH.names, wrong=("version 42 is dirty",))
    live = seen(with_table(failed))
    assert sentences(live) == [(Answer.BLOCK, "In database orders Django says of its migrations: version 42 is dirty.")]
    assert live.findings[0].overridable
    assert seen(with_table(failed), with_table(django("shop.0001_a", wrong=("version 42 is dirty",)))).agrees


def test_a_tool_that_holds_its_lock_blocks() -> None:
    lock = VersionTable(tool="Liquibase", table="public.databasechangeloglock", locked=True)
    live = seen(with_table(BOTH, lock), with_table(django("shop.0001_a"), replace(lock, locked=False)))
    ((answer, says),) = sentences(live)
    assert (answer, says) == (Answer.BLOCK, "Liquibase holds its lock in database orders (public.databasechangeloglock): a migration runs, or one was killed.")
    assert not live.findings[0].overridable


UNREAD = django(unread="Backout's role may not read it")


@pytest.mark.parametrize(
    ("now", "then", "says"),
    [
        ((UNREAD,), (django("shop.0001_a"),), "says is unknown: Backout's role may not read it."),
        ((BOTH,), (), "said while release 41 lived is not known."),
        ((BOTH,), (UNREAD,), "said while release 41 lived is not known."),
        ((), (), "No version table of Django is seen in orders, so whether these migrations ran is unknown."),
    ],
)
def test_promise_1_a_version_table_that_was_not_seen_is_a_doubt_and_no_proof(now: tuple[VersionTable, ...], then: tuple[VersionTable, ...], says: str) -> None:
    live = seen(with_table(*now), with_table(*then))
    assert live.findings == ()
    assert any(one.says.endswith(says) for one in live.unseen), live.unseen
    assert (live.agrees, live.not_run, live.has_all) == (False, False, True)


def test_without_migrations_in_git_a_version_table_that_stayed_as_it_was_agrees() -> None:
    assert seen(THEN, files=()).agrees
    assert not seen(with_table(BOTH), files=()).agrees


SHORT = replace(ORDERS, columns={**ORDERS.columns, "status": CatalogColumn(type="character varying(20)")})
LIMIT = Relaxed(table="public.orders", column="status", kind=Kind.LONGER, limit=("20",), about="public.orders.status")


def loosened(looked: Looked | None) -> LiveSchema:
    """A text that was at most 20 long may be longer now, and this is what the rows say of it."""
    of = declared()
    of.tell(keys.catalog("orders"), with_table(BOTH))
    of.tell(keys.catalog_then(made.TARGET, made.GOAL.key, "orders"), replace(THEN, tables={"public.orders": SHORT}))
    assert list(catalog_keys(of.case(), made.GOAL))[2:-1] == [keys.left_rows("orders", (LIMIT,))]
    of.hide(keys.left_rows("orders", (LIMIT,))) if looked is None else of.tell(keys.left_rows("orders", (LIMIT,)), (looked,))
    return live_schema(of.case(), made.SUSPECT, made.GOAL, FILES)


def test_rows_that_the_old_release_cannot_read_block() -> None:
    live = loosened(Looked(relaxed=LIMIT, found=True))
    assert sentences(live) == [(Answer.BLOCK, "In database orders public.orders.status holds a text longer than 20: release 41 was made for rows without.")]
    assert (live.findings[0].instead, live.findings[0].overridable) == (Way.HOTFIX, True)


def test_a_looser_limit_that_no_row_has_used_is_no_harm() -> None:
    assert loosened(Looked(relaxed=LIMIT, found=False)).agrees


@pytest.mark.parametrize("looked", [None, Looked(relaxed=LIMIT, found=None, why="database orders refused to be read (42501)")])
def test_promise_1_rows_that_nobody_could_look_at_are_a_doubt_beside_the_shape(looked: Looked | None) -> None:
    live = loosened(looked)
    (shape,), (doubt,) = live.findings, live.unseen
    assert (shape.answer, doubt.answer, live.agrees) == (Answer.WARN, Answer.UNKNOWN, False)
    assert "was character varying(20) and is text" in shape.says
    assert doubt.clears.startswith("Let Backout's role read public.orders (status)" if looked else "")


def test_more_looser_limits_than_are_asked_after_are_a_doubt() -> None:
    then, now = (
        Catalog(tables={"t": CatalogTable(columns={f"c{number}": CatalogColumn(type="text", required=required) for number in range(21)})})
        for required in (True, False)
    )
    live = seen(now, then, files=())
    assert "21 limits are looser than they were, more than the 20" in live.unseen[0].says


def test_forward_todays_schema_says_nothing() -> None:
    ahead = made.forward_world(policy=declared().policy)
    assert live_schema(ahead.case(), made.SUSPECT, made.GOAL, FILES) == LiveSchema()


# --- the release's own statements ---

USES_ID, USES_STATUS = "SELECT id FROM orders WHERE id = $1", "SELECT status FROM orders WHERE id = $1"
WITHOUT = replace(ORDERS, columns={"id": ORDERS.columns["id"]})
REQUIRED = replace(ORDERS, columns={**ORDERS.columns, "region": CatalogColumn(type="text", required=True)})


def prepared(table: CatalogTable, *codes: str, days: int = 2, then: Catalog | None = THEN) -> LiveSchema:
    """The database has this table now, and preparing what the older release ran for so many days says this."""
    of, now = declared(), with_table(BOTH, tables={"public.orders": table})
    own = tuple(OwnStatement(text=text, first=made.NOW, last=made.NOW, calls=1) for text in (USES_ID, USES_STATUS)[: len(codes)])
    kept = OwnStatements(since=made.NOW, at=made.NOW, handle="41", watched=timedelta(days=days), statements=own)
    of.tell(keys.catalog("orders"), now).tell(keys.statements_then(made.TARGET, made.GOAL.key, "orders"), kept)
    of.hide(keys.catalog_then(made.TARGET, made.GOAL.key, "orders")) if then is None else of.tell(keys.catalog_then(made.TARGET, made.GOAL.key, "orders"), then)
    key = keys.prepared("orders", now.digest, kept.texts)
    assert key in list(catalog_keys(of.case(), made.GOAL))
    of.tell(key, codes)
    return live_schema(of.case(), made.SUSPECT, made.GOAL, FILES)


def test_statements_that_hold_stand_in_the_sentence_and_in_the_evidence() -> None:
    live = prepared(ORDERS, "", "")
    assert (live.agrees, live.statements, live.unused) == (True, 2, False)
    assert live.says == (
        "orders still has everything that release 41 had, also for the 2 statements that release 41 was seen to run "
        "(watched for 2 d since 2026-05-04 14:03 UTC)"
    )
    assert {"preparing" in one.what or "database prepared" in one.what for one in live.evidence} == {True, False}


def test_a_statement_that_breaks_is_a_no_also_where_the_catalogue_misses_nothing() -> None:
    live = prepared(ORDERS, "", "42883")
    assert [(answer, "cannot be prepared any more" in says) for answer, says in sentences(live)] == [(Answer.BLOCK, True)]
    assert (live.has_all, live.agrees) == (False, False)


def test_promise_1_what_is_gone_and_none_of_many_statements_uses_is_a_disagreement_and_no_yes() -> None:
    live = prepared(WITHOUT, "")
    ((answer, says),) = sentences(live)
    assert answer is Answer.UNKNOWN
    assert says == (
        "In database orders column public.orders.status is gone, but no use of that is among the 1 statement that release 41 was seen to run "
        "(watched for 2 d since 2026-05-04 14:03 UTC)."
    )
    assert (live.unused, live.has_all, live.agrees) == (True, False, False)


def test_what_is_gone_and_a_statement_uses_stays_a_no_with_both_reasons() -> None:
    live = prepared(WITHOUT, "", "42703")
    assert [answer for answer, _ in sentences(live)] == [Answer.BLOCK, Answer.BLOCK]
    assert not live.unused


@pytest.mark.parametrize(("table", "days"), [(WITHOUT, 0), (REQUIRED, 2)], ids=["watched too short", "what no statement shows"])
def test_promise_1_statements_that_hold_take_no_other_no_away(table: CatalogTable, days: int) -> None:
    live = prepared(table, "", days=days)
    assert [answer for answer, _ in sentences(live)] == [Answer.BLOCK]
    assert not live.unused


def test_promise_1_statements_that_hold_make_no_yes_where_the_catalogue_of_then_is_not_known() -> None:
    live = prepared(ORDERS, "", "", then=None)
    assert [answer for answer, _ in sentences(live)] == [Answer.UNKNOWN]
    assert not live.agrees


def test_promise_1_a_statement_of_which_nobody_can_say_keeps_the_databases_from_agreeing() -> None:
    live = prepared(ORDERS, "", "57014")
    assert [answer for answer, _ in sentences(live)] == [Answer.UNKNOWN]
    assert not live.agrees
