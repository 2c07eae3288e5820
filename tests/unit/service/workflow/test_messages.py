from dataclasses import replace
from typing import Any

from service.domain.model import Outcome, Way
from service.domain.verdict import Finding, Verdict, blocks, passes, unknown, warns
from service.workflow.messages import OUTCOME_WORDS, Told, episode_line, message, score, stumbled, worst_lines
from tests.fakes.clock import START
from tests.fakes.store import operation
from tests.unit.service.domain import made

TOLD = Told(channels=("notify:a", "notify:b"), public_url="https://backout.example/", trace_link="https://jaeger.example/{trace_id}")


def verdict(*findings: Finding) -> Verdict:
    return Verdict(way=Way.ROLLBACK, findings=findings, recommended=Way.ROLLBACK, because="", as_of=START)


def one(**more: Any) -> dict[str, Any]:
    body = message(TOLD, key="k", title="title", text=("first", "", "last"), at=START, event="refused", **more)[0].body
    assert isinstance(body, dict)
    return body


def test_every_channel_gets_the_same_message_under_the_same_key() -> None:
    sent = message(TOLD, key="k", title="t", text=(), at=START, event="stuck")
    assert [(one.channel, one.key) for one in sent] == [("notify:a", "k"), ("notify:b", "k")]
    assert sent[0].body == sent[1].body


def test_without_channels_there_is_nothing_to_send_and_nobody_to_hear() -> None:
    assert message(Told(), key="k", title="t", text=(), at=START, event="stuck") == ()
    assert (Told().anybody, TOLD.anybody) == (False, True)


def test_a_message_holds_its_text_its_time_and_a_word_for_machines() -> None:
    assert one() == {"event": "refused", "at": "2026-05-04T14:03:00Z", "title": "title", "text": "title\nfirst\nlast"}
    assert one(extra={"candidates": []})["candidates"] == []


def test_a_message_about_an_operation_leads_to_it_and_to_its_trace() -> None:
    row = operation("op_1", incident_id="inc_1")
    body = one(operation=row)
    assert (body["operation"], body["target"], body["incident"], body["mode"]) == ("op_1", "prod:checkout", "inc_1", "auto")
    assert body["links"] == {"trace": f"https://jaeger.example/{row.trace_id}", "operation": "https://backout.example/v1/operations/op_1"}


def test_the_score_counts_what_passes_and_what_was_waived() -> None:
    waived = replace(warns("w", clears=""), waived="until 2027")
    assert score(verdict(passes("a"), waived, unknown("b", clears=""))) == "2 of 3 questions: yes"


def test_doubts_are_told_worst_first_each_with_its_way_out() -> None:
    found = verdict(warns("slow", clears="Wait."), passes("fine"), blocks("dropped", clears=""), unknown("who knows", clears="Ask."))
    assert worst_lines(found) == ("block: dropped", "unknown: who knows → Ask.", "warn: slow → Wait.")
    assert worst_lines(found, limit=1) == ("block: dropped",)
    assert worst_lines(verdict(replace(warns("w", clears=""), waived="until 2027"))) == ()


def test_every_outcome_has_words() -> None:
    assert set(OUTCOME_WORDS) == set(Outcome)


def test_an_episode_is_told_with_what_its_author_wrote() -> None:
    bare = made.episode({"alertname": "HighErrorRate"})
    assert episode_line(bare) == "HighErrorRate"
    assert episode_line(replace(bare, annotations={"description": "31 % fail"})) == "HighErrorRate: 31 % fail"
    assert episode_line(replace(bare, annotations={"summary": "x" * 300, "description": "no"})) == "HighErrorRate: " + "x" * 200


def test_promise_13_an_operation_that_backout_cannot_go_on_with_is_told_once_for_it() -> None:
    first, second = (stumbled(TOLD, operation(), f"stumbled {n} times", START)[0] for n in (5, 10))
    assert (first.key, second.key) == ("op_1/stumbled", "op_1/stumbled")  # the outbox keeps one of a key
    assert isinstance(first.body, dict)
    assert (first.body["event"], first.body["operation"]) == ("stumbled", "op_1")
    assert first.body["text"] == "prod:checkout: Backout cannot go on\nstumbled 5 times\nBackout goes on trying, and starts nothing else on this target."
    ended = stumbled(TOLD, operation(done_at=START), "s", START)[0].body
    assert isinstance(ended, dict)
    assert str(ended["text"]).endswith("Nothing was touched.")


def test_promise_12_a_message_holds_no_secret_of_what_it_quotes() -> None:
    (told,) = message(
        Told(channels=("notify:a",)),
        key="k",
        title="HighErrorRate: password=hunter22",
        text=("see https://bot:hunter22@wiki.example",),
        at=START,
        event="unplaced",
        extra={"labels": {"runbook": "https://bot:hunter22@wiki.example/1"}},
    )
    assert "hunter22" not in str(told.body)
    assert isinstance(told.body, dict)
    assert told.body["labels"] == {"runbook": "[removed]"}
