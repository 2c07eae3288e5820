from typing import Any

import pytest

from service.domain.catalog import Catalog, CatalogColumn, CatalogTable
from service.domain.relaxed import Kind, Relaxed, relaxed


def catalog(type_: str = "text", enums: dict[str, tuple[str, ...]] | None = None, **changes: Any) -> Catalog:
    return Catalog(tables={"public.orders": CatalogTable(columns={"code": CatalogColumn(type=type_, **changes)})}, enums=enums or {})


def of(kind: Kind, *limit: str, about: str = "public.orders.code") -> Relaxed:
    return Relaxed(table="public.orders", column="code", kind=kind, limit=limit, about=about)


@pytest.mark.parametrize(
    ("old", "new", "kind", "limit"),
    [
        ("character varying(20)", "character varying(40)", Kind.LONGER, ("20",)),
        ("character varying(20)", "text", Kind.LONGER, ("20",)),
        ("varchar(20) collate utf8mb4_bin", "varchar(21) collate utf8mb4_bin", Kind.LONGER, ("20",)),
        ("character(3)", "text", Kind.LONGER, ("3",)),
        ("integer", "bigint", Kind.BEYOND, ("-2147483648", "2147483647")),
        ("smallint", "integer", Kind.BEYOND, ("-32768", "32767")),
        ("int unsigned", "bigint unsigned", Kind.BEYOND, ("0", "4294967295")),
        ("tinyint", "int", Kind.BEYOND, ("-128", "127")),
        ("enum('a','it''s')", "enum('a','it''s','c','d')", Kind.LABEL, ("c", "d")),
    ],
)
def test_a_type_that_takes_more_than_it_did_is_asked_after(old: str, new: str, kind: Kind, limit: tuple[str, ...]) -> None:
    assert relaxed(catalog(old), catalog(new)) == (of(kind, *limit),)


def test_a_column_that_may_be_null_now_is_asked_after() -> None:
    assert relaxed(catalog(required=True), catalog()) == (of(Kind.NULL, about="public.orders.code NULL"),)


def test_new_labels_are_asked_after_in_every_column_of_that_type() -> None:
    before, now = (catalog("public.state", {"public.state": labels}) for labels in (("new", "paid"), ("new", "paid", "void")))
    assert relaxed(before, now) == (of(Kind.LABEL, "void", about="public.state"),)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (catalog(), catalog()),
        (catalog(), catalog(required=True)),
        (catalog("text"), catalog("character varying(20)")),
        (catalog("integer"), catalog("text")),
        (catalog("timestamp without time zone"), catalog("timestamp with time zone")),
        (catalog("enum('a','b')"), catalog("enum('a')")),
        (catalog("public.state", {"public.state": ("new", "paid")}), catalog("public.state", {"public.state": ("new",)})),
        (catalog(), Catalog(tables={})),
        (catalog(), Catalog(tables={"public.orders": CatalogTable(columns={})})),
        tuple(Catalog(tables={"v": CatalogTable(columns={"c": CatalogColumn(type=one)}, view=True)}) for one in ("smallint", "bigint")),
    ],
)
def test_what_did_not_become_looser_needs_no_look_at_rows(before: Catalog, now: Catalog) -> None:
    assert relaxed(before, now) == ()


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (of(Kind.NULL), "public.orders.code holds NULL"),
        (of(Kind.LONGER, "20"), "public.orders.code holds a text longer than 20"),
        (of(Kind.BEYOND, "0", "9"), "public.orders.code holds a number beyond 0 to 9"),
        (of(Kind.LABEL, "c", "d"), "public.orders.code holds c or d"),
    ],
)
def test_it_is_told_as_a_sentence_about_a_column(one: Relaxed, says: str) -> None:
    assert str(one) == says
