from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import Golden, printed


def test_the_standing_verdicts_read_worst_first_and_count_those_that_could_go_back(golden: Golden) -> None:
    golden("standings", render.standings(documents.targets(), NOW))


def test_every_standing_verdict_is_shown_when_asked() -> None:
    shown = printed(render.standings(documents.targets(), NOW, everything=True))
    lines = [line.split()[0] for line in shown.splitlines() if line.startswith("prod:")]
    assert lines == ["prod:orders", "prod:mail", "prod:basket", "prod:checkout"]


def test_one_that_nobody_looked_at_is_unknown_and_a_list_that_may_lack_some_says_so_first() -> None:
    shown = printed(render.standings(documents.targets(targets=[documents.target("mail", readiness=None)], complete=False), NOW))
    assert shown.splitlines()[0].startswith("! not every instance could be listed")
    assert "unknown" in shown
    assert "nobody has looked yet" in shown
    assert "0 of 1 target could go back now" in shown
