from datetime import timedelta

from service.domain import keys
from service.domain.model import Way
from service.domain.rules.no_sync_window_is_in_the_way import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import world


def test_an_open_window_passes_and_says_which() -> None:
    finding = RULE.ask(world().case())
    assert (finding.answer, finding.says) == (Answer.PASS, "No sync window is in the way: no window is defined.")
    assert finding.evidence[0].what == str(made.WINDOW)


def test_no_window_at_all_needs_no_words() -> None:
    assert RULE.ask(world().tell(made.WINDOW, keys.Window(open=True, says="")).case()).says == "No sync window is in the way."


def test_a_closed_window_is_a_no_that_says_until_when() -> None:
    closed = keys.Window(open=False, says="deny 0 14 * * * of project shop.", until=made.NOW + timedelta(minutes=57))
    finding = RULE.ask(world().tell(made.WINDOW, closed).case())
    assert (finding.answer, finding.says) == (Answer.BLOCK, "A sync window is closed until 15:00:00: deny 0 14 * * * of project shop.")
    assert finding.clears == "Wait until 15:00:00, or open the window in the AppProject."


def test_an_end_on_another_day_comes_with_its_date() -> None:
    closed = keys.Window(open=False, says="", until=made.NOW + timedelta(days=1))
    assert "until 2026-05-05 14:03:00" in RULE.ask(world().tell(made.WINDOW, closed).case()).says


def test_a_closed_window_without_an_end_is_a_no_all_the_same() -> None:
    finding = RULE.ask(world().tell(made.WINDOW, keys.Window(open=False, says="freeze")).case())
    assert (finding.answer, finding.says) == (Answer.BLOCK, "A sync window is closed: freeze.")
    assert finding.clears.startswith("Wait until the window opens")


def test_windows_that_nobody_could_read_are_unknown() -> None:
    finding = RULE.ask(world().hide(made.WINDOW).case())
    assert (finding.answer, finding.says) == (Answer.UNKNOWN, "Whether a sync window is in the way is unknown: the connection was refused.")


def test_an_open_window_says_when_it_closes() -> None:
    opened = keys.Window(open=True, says="allow at '0 9 * * *' for 8h", until=made.NOW + timedelta(hours=3))
    finding = RULE.ask(world().tell(made.WINDOW, opened).case())
    assert (finding.answer, finding.says) == (Answer.PASS, "No sync window is in the way, until 17:03:00: allow at '0 9 * * *' for 8h.")


def test_a_window_that_closes_before_the_rollback_is_sure_to_be_done_is_a_no() -> None:
    case = world().tell(made.WINDOW, keys.Window(open=True, says="allow", until=made.NOW + timedelta(minutes=3))).case()
    assert RULE.ask(case).answer is Answer.PASS
    case = world().tell(made.WINDOW, keys.Window(open=True, says="allow", until=made.NOW + timedelta(minutes=3, seconds=-1))).case()
    finding = RULE.ask(case)
    assert finding.answer is Answer.BLOCK
    assert finding.says == "A sync window closes at 14:05:59, before an operation begun now is sure to be done: allow."
    assert finding.clears == "Wait until the windows open again, or keep them open in the AppProject."


def test_an_open_window_of_which_nobody_knows_when_it_closes_is_unknown() -> None:
    finding = RULE.ask(world().tell(made.WINDOW, keys.Window(open=True, says="allow", unsure="permission denied")).case())
    assert (finding.answer, finding.says) == (Answer.UNKNOWN, "The sync windows are open now (allow), and when they close is unknown: permission denied.")
    assert "projects, get" in finding.clears


def test_a_closed_window_is_a_no_although_nobody_knows_when_it_opens() -> None:
    finding = RULE.ask(world().tell(made.WINDOW, keys.Window(open=False, says="freeze", unsure="permission denied")).case())
    assert (finding.answer, finding.says) == (Answer.BLOCK, "A sync window is closed: freeze (when it opens is unknown: permission denied).")


HALF = keys.Window(open=True, says="deny at '0 14 * * *' for 3h", automated=False, automated_until=made.NOW + timedelta(hours=3))


def by_way(way: Way, window: keys.Window) -> Finding:
    told = world().tell(made.WINDOW, window)
    told.way = way
    return RULE.ask(told.case())


def test_a_pin_is_deployed_by_itself_so_windows_for_automated_syncs_count() -> None:
    assert by_way(Way.ROLLBACK, HALF).answer is Answer.PASS
    finding = by_way(Way.PIN, HALF)
    assert (finding.answer, finding.says) == (Answer.BLOCK, "A sync window is closed until 17:03:00: deny at '0 14 * * *' for 3h.")


def test_what_is_changed_in_git_waits_safely_for_a_window_and_a_person_is_told_until_when() -> None:
    finding = by_way(Way.GIT_REVERT, HALF)
    assert finding.answer is Answer.WARN
    assert finding.says == "What is changed in Git is deployed only when the sync window opens at 17:03:00: deny at '0 14 * * *' for 3h."
    assert by_way(Way.GIT_REVERT, keys.Window(open=False, says="x")).answer is Answer.PASS


EXAMPLES: made.Examples = {
    "no window is defined": world(),
    "the window is closed": world().tell(made.WINDOW, keys.Window(open=False, says="deny window 0 14 * * * for 1 h", until=made.NOW + timedelta(minutes=57))),
    "the window closes in a minute": world().tell(
        made.WINDOW, keys.Window(open=True, says="allow window 0 13 * * * for 64 min", until=made.NOW + timedelta(minutes=1))
    ),
    "the windows cannot be read": world().hide(made.WINDOW),
}
