from datetime import date

import pytest

from service.domain.documents import DocumentError
from service.domain.schema import Dialect
from service.domain.waivers import Waiver, declared


def test_declarations_are_read() -> None:
    text = """
schema: {dialect: mysql, migrations: ["steps/*.sql"]}
waivers:
  - {rule: column_dropped, path: "db/*", object: orders.status, reason: unused, until: 2026-12-31}
"""
    found = declared(text)
    assert (found.dialect, found.migrations) == (Dialect.MYSQL, ("steps/*.sql",))
    assert found.waivers == (Waiver(rule="column_dropped", path="db/*", object="orders.status", reason="unused", until=date(2026, 12, 31)),)
    assert declared(None) == declared("")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("waivres: []", "waivres"),
        ("schema: {dialect: oracle}", "dialect"),
        ("schema: {migrations: x}", "list"),
        ("schema: [a]", "no mapping"),
        ("- a", "no mapping"),
        ("waivers: {}\n---\n{}", "no mapping"),
        ("waivers: [{rule: a, path: b}]", "without reason"),
        ("waivers: [{rule: a, path: b, reason: c, until: soon}]", "2026-12-31"),
        ("waivers: [{rule: a, path: b, reason: c, who: d}]", "who"),
        ("waivers: [x]", "no mapping of texts"),
        ("a: &a b\nc: *a", "aliases"),
    ],
)
def test_declarations_that_are_wrong_are_an_error_not_nothing(text: str, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        declared(text)


def test_a_waiver_covers_its_rule_in_its_files_and_about_its_objects() -> None:
    waiver = Waiver(rule="column_dropped", path="db/*", object="orders.*", reason="x", until=date(2026, 11, 27))
    assert waiver.covers("column_dropped", "db/a.sql", ("other.a", "orders.b"))
    assert not waiver.covers("column_dropped", "db/a.sql", ("other.a",))
    assert not waiver.covers("column_dropped", "app/a.sql", ("orders.b",))
    assert not waiver.covers("table_dropped", "db/a.sql", ("orders.b",))
    assert (waiver.over(date(2026, 11, 27)), waiver.over(date(2026, 11, 28))) == (False, True)


def test_whether_deploys_prune_is_yes_no_or_not_said() -> None:
    assert [declared(text).prunes for text in ("manifests: {prune: true}", "manifests: {prune: false}", "manifests: {}", "")] == [True, False, None, None]
    with pytest.raises(DocumentError, match="neither true nor false"):
        declared("manifests: {prune: perhaps}")
