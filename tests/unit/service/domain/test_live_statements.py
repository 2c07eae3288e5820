from datetime import timedelta

import pytest

from service.domain import keys
from service.domain.catalog import Catalog, CatalogColumn, CatalogTable
from service.domain.live_statements import LiveStatements, live_statements, statement_keys
from service.domain.model import Way
from service.domain.own_statements import OwnStatement, OwnStatements
from service.domain.verdict import Answer
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

THEN = Catalog(tables={"public.orders": CatalogTable(columns={"id": CatalogColumn(type="bigint"), "code": CatalogColumn(type="text")})})
NOW = Catalog(tables={"public.orders": CatalogTable(columns={"id": CatalogColumn(type="bigint")})})
ONE, TWO, THREE = "SELECT id FROM orders WHERE id = $1", "SELECT code FROM orders", "DELETE FROM orders WHERE id = $1"
KEPT_KEY = keys.statements_then(made.TARGET, made.GOAL.key, "orders")


def own(*then: str, watched: timedelta = timedelta(days=3, hours=4), left_out: frozenset[str] = frozenset()) -> OwnStatements:
    statements = tuple(OwnStatement(text=text, first=made.NOW, last=made.NOW, calls=1, then=code) for text, code in zip((ONE, TWO, THREE), then, strict=False))
    return OwnStatements(since=made.NOW - timedelta(days=4), at=made.NOW, handle="41", watched=watched, statements=statements, left_out=left_out)


def seen(kept: OwnStatements | None, codes: tuple[str, ...] | None, *, now: Catalog = NOW) -> LiveStatements:
    of = world().tell(keys.catalog("orders"), now).tell(keys.catalog_then(made.TARGET, made.GOAL.key, "orders"), THEN)
    of.hide(KEPT_KEY) if kept is None else of.tell(KEPT_KEY, kept)
    if kept is not None:
        key = keys.prepared("orders", now.digest, kept.texts)
        of.hide(key) if codes is None else of.tell(key, codes)
    return live_statements(of.case(), "orders", made.known(now), made.SUSPECT, made.GOAL)


def asked(of: World) -> list[str]:
    return [key.kind for key in statement_keys(of.case(), made.GOAL, "orders")]


def test_statements_are_prepared_where_the_schema_is_another_than_it_was() -> None:
    of = world().tell(KEPT_KEY, own("", "")).tell(keys.catalog("orders"), NOW).tell(keys.catalog_then(made.TARGET, made.GOAL.key, "orders"), THEN)
    assert asked(of) == ["database statements then", "database prepared"]
    assert asked(of.tell(keys.catalog("orders"), THEN)) == ["database statements then"]
    assert asked(of.tell(keys.catalog("orders"), Catalog(tables={}, busy="public.orders is locked"))) == ["database statements then"]
    of.tell(keys.catalog("orders"), THEN)
    of.hide(keys.catalog_then(made.TARGET, made.GOAL.key, "orders"))  # nobody knows what it was
    assert asked(of) == ["database statements then", "database prepared"]
    assert asked(of.tell(KEPT_KEY, own(left_out=frozenset({"7"})))) == ["database statements then"]
    assert asked(of.hide(KEPT_KEY)) == ["database statements then"]


def test_what_nobody_counted_says_nothing() -> None:
    assert seen(None, None) == LiveStatements()
    assert seen(own(left_out=frozenset({"7"})), ()) == LiveStatements()


def test_all_that_hold_tell_how_many_they_are_and_how_long_they_were_watched() -> None:
    live = seen(own("", ""), ("", ""))
    assert (live.findings, live.unseen, live.unused, live.number) == ((), (), True, 2)
    assert live.says == "the 2 statements that release 41 was seen to run (watched for 3 d 4 h since 2026-04-30 14:03 UTC)"
    assert len(live.evidence) == 2
    same = seen(own("", ""), None, now=THEN)
    assert (same.says, same.unused, same.findings, same.unseen) == (live.says, False, (), ())


def test_what_is_not_judged_is_told() -> None:
    live = seen(own("", "42P18", left_out=frozenset({"7", "8"})), ("", ""))
    assert (live.unused, live.findings, live.unseen) == (False, (), ())
    assert live.says.endswith("since 2026-04-30 14:03 UTC; 2 more could not be kept; 1 of them could never be prepared)")


def test_one_that_cannot_be_prepared_any_more_is_a_no_with_a_hotfix() -> None:
    live = seen(own("", "", ""), ("", "42703", ""))
    (finding,) = live.findings
    assert (finding.answer, finding.instead, finding.overridable, live.unused) == (Answer.BLOCK, Way.HOTFIX, True, False)
    assert finding.says == ("In database orders 1 of 3 statements that release 41 ran cannot be prepared any more: SELECT code FROM orders (a column is gone).")
    assert len(finding.evidence) == 2
    assert finding.clears


@pytest.mark.parametrize("code", ["42P18", "42501", "55P03", "57014", "XX000"])
def test_promise_1_one_of_which_nobody_can_say_is_a_doubt(code: str) -> None:
    live = seen(own("", ""), ("", code))
    (doubt,) = live.unseen
    assert (doubt.answer, live.findings, live.unused) == (Answer.UNKNOWN, (), False)
    assert doubt.says == (
        f"Whether 1 of 2 statements that release 41 ran in database orders still can be prepared is unknown: SELECT code FROM orders ({code})."  # noqa: S608  a sentence
    )


def test_promise_1_a_database_that_could_not_prepare_them_is_a_doubt() -> None:
    live = seen(own("", ""), None)
    (doubt,) = live.unseen
    assert (doubt.answer, live.number, live.unused) == (Answer.UNKNOWN, 2, False)
    assert doubt.says.startswith("Whether the statements that release 41 ran in database orders can still be prepared is unknown: ")


@pytest.mark.parametrize("code", ["", "42703"])
def test_promise_1_what_failed_when_it_was_kept_is_never_a_no(code: str) -> None:
    live = seen(own("", "42703"), ("", code))
    assert (live.findings, live.unseen, live.unused) == ((), (), False)
