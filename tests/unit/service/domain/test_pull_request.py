from datetime import date
from typing import Any

import pytest

from service.domain.keys import FileChange, SourceChange
from service.domain.pull_request import Judged, judge
from service.domain.verdict import Answer
from service.domain.waivers import FILE, Waiver, declared

TODAY = date(2026, 11, 27)
PATH = "db/migrations/V2__a.sql"
DROP = "alter table orders drop column status;"


def judged(*files: FileChange, waivers: tuple[Waiver, ...] = (), **more: Any) -> Judged:
    values: dict[str, Any] = {"repository": ".", "old": "a" * 40, "new": "b" * 40, "files": files, "has_code": True, "dialect": "postgres", **more}
    return judge(SourceChange(**values), old="main", new="HEAD", waivers=waivers, today=TODAY)


def sql(text: str, path: str = PATH) -> FileChange:
    return FileChange(path=path, change="added", text=text)


def test_a_dropped_column_is_a_no_that_says_where_why_and_what_to_do() -> None:
    found = judged(sql(f"create table new (a int);\n{DROP}"))
    assert found.answer is Answer.BLOCK
    assert found.says == "No: once this is deployed, going back to main breaks."
    (one,) = found.found
    assert (one.rule, one.path, one.line, one.says) == ("column_dropped", PATH, 2, "Drops column orders.status.")
    assert "later" in one.do
    assert one.why
    assert found.harmless == 1


def test_nobody_has_to_know_our_word_for_the_earlier_code() -> None:
    found = judged(
        sql("alter table orders add column a int not null; alter table orders alter column b set not null; alter table a alter column c drop not null;")
    )
    assert len(found.found) == 3
    for one in found.found:
        assert "OLD" not in one.says + one.why + one.do


def test_no_migration_is_a_yes_only_from_a_repository_with_source() -> None:
    readme = FileChange(path="README.md", change="modified")
    assert judged(readme).says == "Yes: no migration lies between main and HEAD."
    assert judged(readme, has_code=False).answer is Answer.UNKNOWN


def test_harmless_statements_are_a_yes_by_the_text() -> None:
    assert judged(sql("create table a (b int);")).says.startswith("Yes, by the text of the migrations")


def test_dependencies_are_unknown_by_name() -> None:
    found = judged(FileChange(path="uv.lock", change="modified"))
    assert (found.answer, found.found[0].path) == (Answer.UNKNOWN, "uv.lock")


def test_packages_that_moved_are_named() -> None:
    file = FileChange(path="requirements.txt", change="modified", before="django==5.1\nallauth==1\n", text="django==5.2\nallauth==2\n")
    assert judged(file).found[0].says == "Dependencies changed: allauth, django; each may bring migrations of its own."
    many = FileChange(path="requirements.txt", change="modified", before="", text="".join(f"p{number}==1\n" for number in range(12)))
    assert " and 2 more;" in judged(many).found[0].says


def test_the_worst_comes_first_and_decides() -> None:
    found = judged(sql("update orders set a = b;\nalter table orders drop column status;\nalter table a alter column c drop not null;"))
    assert [one.answer for one in found.found] == [Answer.BLOCK, Answer.UNKNOWN, Answer.WARN]
    assert found.answer is Answer.BLOCK


# --- waivers ----------------------------------------------------------------------------------------------------------------


def test_a_waiver_lets_exactly_its_finding_pass_and_stays_visible() -> None:
    waiver = Waiver(rule="column_dropped", path="db/migrations/*", object="orders.status", reason="unused since 2.3")
    found = judged(sql(DROP), waivers=(waiver,))
    assert (found.answer, found.found[0].waived) == (Answer.PASS, "unused since 2.3")
    assert "(1 waived)" in found.says
    other = judged(sql("alter table orders drop column total;"), waivers=(waiver,))
    assert other.answer is Answer.BLOCK


@pytest.mark.parametrize("wrong", [{"rule": "table_dropped"}, {"path": "other/*"}, {"until": date(2026, 11, 26)}])
def test_a_waiver_of_something_else_or_of_yesterday_waives_nothing(wrong: dict[str, Any]) -> None:
    waiver = Waiver(**{"rule": "column_dropped", "path": "*", "reason": "r", **wrong})
    assert judged(sql(DROP), waivers=(waiver,)).answer is Answer.BLOCK


def test_a_waiver_that_ran_out_is_said_and_one_that_ends_today_holds() -> None:
    ended = Waiver(rule="column_dropped", path="*", reason="r", until=date(2026, 11, 26))
    assert "ran out on 2026-11-26" in judged(sql(DROP), waivers=(ended,)).remarks[0]
    assert judged(sql(DROP), waivers=(Waiver(rule="column_dropped", path="*", reason="r", until=TODAY),)).answer is Answer.PASS


def test_a_finding_says_how_to_accept_it_and_that_is_what_is_read() -> None:
    found = judged(sql(DROP))
    entry = found.remarks[-1].partition("merge it there first: ")[2]
    waivers = declared(f"waivers: [{entry}]").waivers
    again = judged(sql(DROP), waivers=waivers)
    assert again.answer is Answer.PASS
    assert not again.remarks


def test_a_change_of_the_declarations_is_said() -> None:
    assert FILE in judged(FileChange(path=FILE, change="modified")).remarks[0]
