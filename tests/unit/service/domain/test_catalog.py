from dataclasses import replace
from typing import Any

import pytest

from service.domain.catalog import FUNCTIONS, TRIGGERS, Catalog, CatalogColumn, CatalogTable, Harm, missed

INT, TEXT, SHORT = CatalogColumn(type="integer"), CatalogColumn(type="text"), CatalogColumn(type="character varying(20)")
ID = CatalogColumn(type="bigint", required=True, given=True)
ORDERS = CatalogTable(
    columns={"id": ID, "status": SHORT, "total": CatalogColumn(type="integer", required=True), "note": TEXT}, unique=frozenset({"PRIMARY KEY (id)"})
)
BEFORE = Catalog(tables={"public.orders": ORDERS}, enums={"public.state": ("new", "paid")}, functions=frozenset({"public.tax(integer)"}))


def orders(**changes: Any) -> Catalog:
    return replace(BEFORE, tables={"public.orders": replace(ORDERS, **changes)})


def columns(**changed: CatalogColumn | None) -> Catalog:
    """Orders with these columns; None takes one away."""
    merged: dict[str, CatalogColumn | None] = {**ORDERS.columns, **changed}
    return orders(columns={name: column for name, column in merged.items() if column is not None})


def only(now: Catalog) -> tuple[Harm, str]:
    (one,) = missed(BEFORE, now)
    assert one.mend
    return one.harm, one.what


def test_a_schema_that_stayed_as_it_was_misses_nothing() -> None:
    assert missed(BEFORE, BEFORE) == ()


def test_what_is_new_and_asks_nothing_of_the_old_code_is_no_harm() -> None:
    now = replace(
        columns(extra=INT, counted=CatalogColumn(type="integer", required=True, given=True), computed=replace(INT, generated=True, required=True)),
        functions=BEFORE.functions | {"public.more()"},
    )
    now = replace(now, tables={**now.tables, "public.fresh": ORDERS})
    assert missed(BEFORE, now) == ()


def test_a_table_that_is_gone_is_told_once_and_not_by_its_columns() -> None:
    assert only(replace(BEFORE, tables={})) == (Harm.DOES, "table public.orders is gone")


def test_a_view_that_is_gone_is_called_a_view() -> None:
    before = Catalog(tables={"public.open_orders": CatalogTable(columns={"id": ID}, view=True)})
    (one,) = missed(before, Catalog(tables={}))
    assert one.what == "view public.open_orders is gone"


@pytest.mark.parametrize(
    ("now", "harm", "what"),
    [
        (columns(status=None), Harm.DOES, "column public.orders.status is gone"),
        (columns(status=INT), Harm.DOES, "column public.orders.status was character varying(20) and is integer"),
        (columns(status=CatalogColumn(type="character varying(10)")), Harm.DOES, "was character varying(20) and is character varying(10)"),
        (columns(status=CatalogColumn(type="character varying(40)")), Harm.MAY, "was character varying(20) and is character varying(40)"),
        (columns(status=TEXT), Harm.MAY, "was character varying(20) and is text"),
        (columns(total=CatalogColumn(type="bigint", required=True)), Harm.MAY, "was integer and is bigint"),
        (columns(note=replace(TEXT, required=True)), Harm.DOES, "column public.orders.note must have a value now"),
        (columns(note=replace(TEXT, required=True, given=True)), Harm.MAY, "column public.orders.note refuses NULL now"),
        (columns(id=replace(ID, given=False)), Harm.DOES, "column public.orders.id has no default any more"),
        (columns(id=replace(ID, given=False, required=False)), Harm.MAY, "column public.orders.id has no default any more"),
        (columns(note=replace(TEXT, generated=True)), Harm.DOES, "is computed by the database now, which refuses values for it"),
        (columns(region=replace(TEXT, required=True)), Harm.DOES, "column public.orders.region is new and must have a value, which the old code does not give"),
        (orders(unique=frozenset()), Harm.MAY, "table public.orders is no longer PRIMARY KEY (id), on which an upsert may rest"),
        (orders(unique=ORDERS.unique | {"UNIQUE (note)"}), Harm.MAY, "table public.orders is UNIQUE (note) now, which may refuse a row"),
        (orders(rules=frozenset({"CHECK ((total > 0))"})), Harm.MAY, "table public.orders has a new rule: CHECK ((total > 0))"),
        (orders(triggers=frozenset({"BEFORE INSERT"})), Harm.MAY, "table public.orders has a new trigger: BEFORE INSERT"),
        (orders(guarded=True), Harm.DOES, "table public.orders has row-level security now"),
        (replace(BEFORE, enums={}), Harm.DOES, "type public.state is gone"),
        (replace(BEFORE, enums={"public.state": ("new",)}), Harm.DOES, "type public.state has no label paid any more"),
        (replace(BEFORE, enums={"public.state": ("new", "paid", "void")}), Harm.MAY, "type public.state has the new label void"),
        (replace(BEFORE, functions=frozenset({"public.tax(bigint)"})), Harm.DOES, "function public.tax(integer) is gone or takes other arguments"),
    ],
)
def test_each_thing_that_the_old_release_would_miss(now: Catalog, harm: Harm, what: str) -> None:
    found, says = only(now)
    assert (found, what in says) == (harm, True), says


def test_a_rule_or_a_trigger_that_went_away_may_hurt() -> None:
    before = orders(rules=frozenset({"CHECK ((total > 0))"}), triggers=frozenset({"AFTER UPDATE"}))
    assert [(one.harm, one.what) for one in missed(before, orders())] == [
        (Harm.MAY, "table public.orders no longer has the rule CHECK ((total > 0)), which rows may break"),
        (Harm.MAY, "table public.orders lost a trigger: AFTER UPDATE"),
    ]


def test_a_column_that_was_required_all_along_is_nothing_new() -> None:
    assert missed(BEFORE, columns(total=CatalogColumn(type="integer", required=True))) == ()


def test_the_worst_comes_first() -> None:
    found = missed(BEFORE, columns(note=replace(TEXT, required=True, given=True), status=None))
    assert [one.harm for one in found] == [Harm.DOES, Harm.MAY]


def retyped(old: str, new: str) -> Harm:
    before, after = (Catalog(tables={"shop.t": CatalogTable(columns={"c": CatalogColumn(type=one)})}) for one in (old, new))
    (one,) = missed(before, after)
    return one.harm


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("smallint", "int"),
        ("int unsigned", "bigint unsigned"),
        ("varchar(20) collate utf8mb4_bin", "varchar(21) collate utf8mb4_bin"),
        ("varbinary(3)", "varbinary(9)"),
        ("enum('a','b')", "enum('a','b','c')"),
        ("set('a') collate utf8mb4_bin", "set('a','b') collate utf8mb4_bin"),
        ("float", "double"),
        ("integer", "bigint"),
    ],
)
def test_a_wider_type_may_hurt_and_back_again_does(old: str, new: str) -> None:
    assert retyped(old, new) is Harm.MAY
    assert retyped(new, old) is Harm.DOES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("int", "int unsigned"),
        ("int", "bigint unsigned"),
        ("varchar(20) collate utf8mb4_bin", "varchar(20) collate utf8mb4_general_ci"),
        ("varchar(20) collate utf8mb4_bin", "text collate utf8mb4_bin"),
        ("varchar(20)", "varbinary(30)"),
        ("enum('a','b')", "enum('b','a')"),
        ("enum('a','b')", "enum('a','bc')"),
    ],
)
def test_another_kind_of_type_does_hurt(old: str, new: str) -> None:
    assert retyped(old, new) is Harm.DOES


@pytest.mark.parametrize("side", ["then", "now"])
def test_promise_1_what_the_role_could_not_see_then_or_now_is_not_compared(side: str) -> None:
    full = replace(orders(triggers=frozenset({"BEFORE INSERT"})), unseen=())
    bare = replace(orders(), functions=frozenset(), unseen=(TRIGGERS, FUNCTIONS))
    assert missed(*((bare, full) if side == "then" else (full, bare))) == ()
    assert len(missed(*((replace(bare, unseen=()), full) if side == "then" else (full, replace(bare, unseen=()))))) == (1 if side == "then" else 2)


def test_the_same_catalogue_has_the_same_digest_and_another_has_another() -> None:
    several = orders(unique=frozenset({f"UNIQUE ({letter})" for letter in "abcdefgh"}))
    assert several.digest == replace(several, functions=frozenset(several.functions)).digest
    assert several.digest.startswith("sha256:")
    assert len({one.digest for one in (BEFORE, several, columns(status=None), replace(BEFORE, unseen=(TRIGGERS,)))}) == 4
