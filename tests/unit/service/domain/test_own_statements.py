from datetime import timedelta

import pytest

from service.domain.own_statements import (
    LONG_ENOUGH,
    MOST,
    Counted,
    Judged,
    OwnStatement,
    OwnStatements,
    Texts,
    fresh,
    judged,
    observed,
    proves_unused,
)
from tests.unit.service.domain.made import NOW

ONE, TWO, STAR = "SELECT id FROM orders WHERE code = $1", "UPDATE orders SET code = $1 WHERE id = $2", "SELECT * FROM orders WHERE id = $1"
LATER = timedelta(minutes=10)


# --- the set that grows ---


def ran(**calls: int) -> tuple[Counted, ...]:
    texts = {"one": ONE, "two": TWO, "star": STAR, "mute": ""}
    return tuple(Counted(id=name, calls=number, text=texts[name]) for name, number in calls.items())


def first(**calls: int) -> OwnStatements:
    return observed(None, ran(**calls), "41", NOW, {})


def test_what_ran_before_the_release_lived_alone_is_not_its_own() -> None:
    begun = first(one=5, two=9)
    assert (begun.statements, begun.watched) == ((), timedelta(0))
    assert fresh(None, ran(one=5), "41") == Texts(())
    assert fresh(begun, ran(one=5, two=10), "41") == Texts((TWO,))


def test_a_statement_whose_count_rose_is_the_releases_with_its_times() -> None:
    later = observed(first(one=5, two=9), ran(one=5, two=11), "41", NOW + LATER, {TWO: ""})
    assert later.statements == (OwnStatement(text=TWO, first=NOW + LATER, last=NOW + LATER, calls=2),)
    again = observed(later, ran(one=5, two=14), "41", NOW + 2 * LATER, {})
    assert again.statements == (OwnStatement(text=TWO, first=NOW + LATER, last=NOW + 2 * LATER, calls=5),)
    assert (again.since, again.at, again.watched, again.left_out) == (NOW, NOW + 2 * LATER, 2 * LATER, frozenset())
    assert observed(again, ran(one=5, two=14), "41", NOW + 3 * LATER, {}).statements == again.statements


def test_counts_that_began_anew_count() -> None:
    later = observed(first(one=500), ran(one=3), "41", NOW + LATER, {ONE: ""})
    assert [(one.text, one.calls) for one in later.statements] == [(ONE, 3)]


def test_after_another_deploy_the_counts_are_others_too() -> None:
    before = observed(first(one=1), ran(one=2), "41", NOW + LATER, {ONE: ""})
    assert fresh(before, ran(one=2, two=7), "43") == Texts(())
    back = observed(before, ran(one=2, two=7), "43", NOW + 9 * LATER, {})
    assert ([one.text for one in back.statements], back.watched) == ([ONE], LATER)
    assert [one.text for one in observed(back, ran(one=2, two=8), "43", NOW + 10 * LATER, {TWO: ""}).statements] == [ONE, TWO]


def test_what_could_not_be_prepared_at_the_moment_is_seen_again_at_the_next_reading() -> None:
    begun = first(one=1, two=1)
    later = observed(begun, ran(one=4, two=4), "41", NOW + LATER, {ONE: "55P03", TWO: "42703"})
    assert [(one.text, one.then) for one in later.statements] == [(TWO, "42703")]
    assert fresh(later, ran(one=4, two=4), "41") == Texts((ONE,))
    assert [one.calls for one in observed(later, ran(one=4, two=4), "41", NOW + 2 * LATER, {ONE: ""}).statements] == [3, 3]


def test_what_may_not_be_kept_or_does_not_fit_is_counted_as_left_out() -> None:
    many = tuple(Counted(id=f"q{number}", calls=1, text=ONE.replace("code", f"code{number}")) for number in range(MOST + 2))
    begun = observed(None, (), "41", NOW, {})
    new = fresh(begun, many, "41")
    assert len(new.texts) == MOST
    full = observed(begun, (*many, *ran(mute=1)), "41", NOW + LATER, dict.fromkeys(new.texts, ""))
    assert (len(full.statements), len(full.left_out), "mute" in full.left_out) == (MOST, 3, True)
    assert fresh(full, (*many, Counted(id="new", calls=1, text=ONE)), "41") == Texts(())


def test_the_digest_tells_of_statements_and_not_of_how_often_they_ran() -> None:
    one = observed(first(one=1), ran(one=2), "41", NOW, {ONE: ""})
    assert one.digest == observed(one, ran(one=9), "41", NOW, {}).digest
    assert one.digest != observed(one, ran(one=9, two=1), "41", NOW, {TWO: ""}).digest


def test_statements_to_prepare_are_told_by_their_number_and_never_by_their_text() -> None:
    assert (str(Texts((ONE,))), str(Texts((ONE, TWO)))) == ("1 statement", "2 statements")


# --- what today's schema says ---


def kept(*statements: tuple[str, str], watched: timedelta = LONG_ENOUGH, left_out: frozenset[str] = frozenset()) -> OwnStatements:
    own = tuple(OwnStatement(text=text, first=NOW, last=NOW, calls=1, then=then) for text, then in statements)
    return OwnStatements(since=NOW, at=NOW, handle="41", watched=watched, statements=own, left_out=left_out)


@pytest.mark.parametrize("code", ["42P01", "42703", "42704", "42883", "42804", "22P02"])
def test_what_could_be_prepared_and_names_what_is_gone_is_broken(code: str) -> None:
    found = judged(kept((ONE, ""), (TWO, "")), ("", code))
    assert (found.held, len(found.broken), found.doubtful) == (1, 1, ())
    assert found.broken[0].startswith(f"{TWO} (a ")


@pytest.mark.parametrize("code", ["42P18", "42601", "42501", "55P03", "57014", "XX000", "?"])
def test_promise_1_any_other_answer_says_nothing_of_the_schema(code: str) -> None:
    found = judged(kept((ONE, "")), (code,))
    assert (found.held, found.broken, found.doubtful) == (0, (), (f"{ONE} ({code})",))


@pytest.mark.parametrize("then", ["42703", "42P01", "42P18"])
@pytest.mark.parametrize("now", ["", "42703"])
def test_promise_1_what_failed_when_it_was_kept_is_neither_broken_nor_sound(then: str, now: str) -> None:
    assert judged(kept((ONE, then)), (now,)) == Judged(held=0, never=1)


@pytest.mark.parametrize(
    ("star", "text"),
    [(True, text) for text in (STAR, "SELECT o.*, $1 FROM orders o", "select distinct * from a", "DELETE FROM a RETURNING *", "SELECT id, * FROM a")]
    + [(False, text) for text in ("SELECT count(*) FROM orders", "SELECT cents * $1 FROM orders", ONE)],
)
def test_a_statement_that_takes_whatever_columns_there_are_is_known(star: bool, text: str) -> None:
    assert judged(kept((text, "")), ("",)).stars == star


def test_many_statements_of_a_whole_day_which_all_hold_raise_a_doubt_that_what_is_gone_is_used() -> None:
    good = kept((ONE, ""), (TWO, ""))
    assert proves_unused(good, judged(good, ("", "")))


@pytest.mark.parametrize(
    ("own", "codes"),
    [
        (kept((ONE, ""), watched=LONG_ENOUGH - timedelta(seconds=1)), ("",)),
        (kept((ONE, ""), left_out=frozenset({"mute"})), ("",)),
        (kept((ONE, ""), (STAR, "")), ("", "")),
        (kept((ONE, ""), (TWO, "")), ("", "42703")),
        (kept((ONE, ""), (TWO, "")), ("", "55P03")),
        (kept((ONE, ""), (TWO, "42P18")), ("", "")),
        (kept(), ()),
    ],
    ids=["too short", "one left out", "takes all columns", "one broken", "one doubtful", "one never could", "none"],
)
def test_promise_1_with_any_hole_in_them_statements_raise_no_doubt(own: OwnStatements, codes: tuple[str, ...]) -> None:
    assert not proves_unused(own, judged(own, codes))


def test_a_long_statement_is_shortened_for_a_sentence() -> None:
    long = ONE.replace("id", ", ".join(["column_name"] * 40))
    (broken,) = judged(kept((long, "")), ("42703",)).broken
    assert (len(broken) < 160, broken.endswith("… (a column is gone)")) == (True, True)
