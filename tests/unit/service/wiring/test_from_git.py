from datetime import UTC, date, datetime
from pathlib import Path

from integrations.sandbox.git import GitServer
from service.domain.rules import RULES
from service.domain.verdict import Answer
from service.wiring.from_git import judge_repository, not_decided

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
TODAY = date(2026, 11, 27)


def test_git_alone_decides_the_schema_and_names_every_other_rule() -> None:
    assert {*not_decided(), "schema_is_compatible"} == {rule.name for rule in RULES}
    assert {*not_decided(manifests=True), "prune_deletes_no_data", "schema_is_compatible"} == {rule.name for rule in RULES}


def test_the_waivers_of_the_older_revision_count_until_their_day(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    folder = server.create("shop")
    waiver = "waivers: [{rule: table_dropped, path: 'db/*', reason: unused, until: 2026-11-27}]"
    server.commit("shop", {"src/app.py": "1", ".backout.yaml": waiver}, "1", START)
    server.commit("shop", {"db/migrations/V1__a.sql": "drop table a;"}, "2", START, branch="feature")
    assert judge_repository(folder, "main", "feature", dialect="postgres", today=TODAY).answer is Answer.PASS
    late = judge_repository(folder, "main", "feature", dialect="postgres", today=date(2026, 11, 28))
    assert late.answer is Answer.BLOCK
    assert "ran out" in late.remarks[0]


def test_the_same_commit_is_said_to_be_the_same(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    folder = server.create("shop")
    server.commit("shop", {"src/app.py": "1"}, "1", START)
    found = judge_repository(folder, "main", "main", dialect="unknown", today=TODAY)
    assert (found.answer, found.remarks) == (Answer.PASS, ("main and main are the same commit.",))
