import json
import os
import select
import signal
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest

from tests.unit.service.cli import documents
from tests.unit.service.cli.conftest import Ran, Screen, Shell
from tests.unit.service.cli.documents import OPERATION
from tests.unit.service.cli.fake_service import FakeService, Heard, Said, refusal

PATH = f"/v1/operations/{OPERATION}"


class Interrupting(StringIO):
    """A stream at which a person presses Ctrl-C as soon as a text appears."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    def write(self, text: str) -> int:
        if self._at in text:
            raise KeyboardInterrupt
        return super().write(text)


def test_watch_shows_each_event_once_and_how_it_ended(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.operation(), documents.operation(rev=4), documents.operation(rev=5), documents.ended()]
    ran = shell("watch", OPERATION)
    assert ran.code == 0
    assert ran.out.count("12:00:02Z  verdict") == 1
    assert "recovered after 14.2 s" in ran.out
    assert [one.query.get("after") for one in service.asked("GET", f"{PATH}/events")] == [None, "0", "6", "6", "6"]


def test_the_last_event_is_left_to_the_closing_lines(shell: Shell) -> None:
    out = shell("watch", OPERATION).out
    assert "said by the last event" not in out
    assert "live is v3.0.4" in out


def test_watch_asks_to_wait_for_the_next_change(service: FakeService, shell: Shell) -> None:
    shell("watch", OPERATION)
    polls = [dict(one.query) for one in service.asked("GET", PATH)]
    assert polls == [{}, {"wait": "20s", "since_rev": "3"}]


def lines(ran: Ran) -> list[tuple[str, Any]]:
    return [(one["kind"], one["data"]) for one in map(json.loads, ran.out.splitlines())]


def test_watch_with_json_tells_everything_as_it_happens_one_object_a_line(shell: Shell) -> None:
    ran = shell("watch", OPERATION, "--json")
    told = lines(ran)
    assert [kind for kind, _ in told] == ["event"] * 6 + ["state", "end"]
    assert (told[0][1], told[-1][1]) == (documents.EVENTS[0], documents.ended())
    assert ran.err == ""


def test_events_that_come_with_the_end_are_shown(service: FakeService, shell: Shell) -> None:
    service.events = documents.EVENTS[:2]

    def last(_: Heard) -> Said:
        service.events = documents.EVENTS
        service.stages = [documents.ended()]
        return Said(document=documents.ended())

    service.on("GET", PATH, lambda heard: last(heard) if "wait" in heard.query else Said(document=documents.operation()))
    assert "step done" in shell("watch", OPERATION).out


def test_watch_goes_on_while_somebody_else_is_asked_and_says_it_once(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.waiting(), documents.waiting(), documents.ended()]
    ran = shell("watch", OPERATION)
    assert ran.code == 0
    assert ran.out.count("waits for a person") == 1


def test_watch_can_stop_when_it_waits_for_a_person(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.waiting()]
    ran = shell("watch", OPERATION, "--stop-when-waiting", "--json")
    assert ran.code == 6
    assert lines(ran)[-1][1]["phase"] == "awaiting_approval"


@pytest.mark.parametrize(("stage", "code"), [(documents.operation(), 5), (documents.waiting(), 6)])
def test_ctrl_c_says_that_the_operation_goes_on(service: FakeService, shell: Shell, stage: documents.Doc, code: int) -> None:
    service.stages = [stage]
    ran = shell("watch", OPERATION, out=Interrupting("step done"))
    assert ran.code == code
    assert "stopped watching; the operation goes on: backout watch op_3f2a9c1b, or end it: backout cancel op_3f2a9c1b" in ran.err
    assert [one.method for one in service.heard if one.method != "GET"] == []


def test_a_service_that_restarts_in_the_middle_is_waited_for(service: FakeService, shell: Shell) -> None:
    answers = iter([Said(drop=True), refusal(503, "overloaded", "starting"), Said(document=documents.ended())])
    service.on("GET", PATH, lambda heard: next(answers) if "wait" in heard.query else Said(document=documents.operation()))
    ran = shell("watch", OPERATION)
    assert ran.code == 0
    assert ran.err.count("trying again") == 1
    assert shell.naps == [0.5, 1.0]


def test_a_service_that_stays_away_ends_the_watching_as_unknown(service: FakeService, shell: Shell) -> None:
    service.on("GET", PATH, lambda heard: refusal(503, "overloaded", "away") if "wait" in heard.query else Said(document=documents.operation()))
    ran = shell("watch", OPERATION)
    assert ran.code == 5
    assert "how the operation goes on is unknown" in ran.err
    assert sum(shell.naps) > 240


def test_a_first_answer_that_fails_is_not_tried_again(service: FakeService, shell: Shell) -> None:
    service.on("GET", PATH, lambda _: refusal(503, "overloaded", "away"))
    assert shell("watch", OPERATION).code == 1
    assert shell.naps == []


def test_a_right_that_is_taken_away_in_the_middle_ends_the_watching(service: FakeService, shell: Shell) -> None:
    service.on(
        "GET", PATH, lambda heard: refusal(401, "invalid_token", "the token has expired") if "wait" in heard.query else Said(document=documents.operation())
    )
    ran = shell("watch", OPERATION)
    assert (ran.code, ran.err.splitlines()[0]) == (1, "backout: the token has expired")


def test_an_interrupt_of_the_real_process_ends_the_watching_alone(service: FakeService) -> None:
    service.on("GET", PATH, lambda heard: Said(document=documents.operation(rev=3)) if "wait" not in heard.query else Said(drop=True))
    # `env`: whoever runs the tests in the background has the interrupt ignored, and a process inherits that.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "service", "watch", OPERATION, "--server", service.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}) as running:
        assert running.stderr is not None
        ready, _, _ = select.select([running.stderr], [], [], 60)  # it says that it tries again: so it watches
        assert ready
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 5
    assert "stopped watching; the operation goes on" in err
    assert "Traceback" not in err
    assert "12:00:05Z  step done" in out


# --- the stream ----------------------------------------------------------------------------------------------------------

EVENTS = f"{PATH}/events"


def streamed(service: FakeService, *answers: Said) -> None:
    """The address of the events answers with these, one after the other, as a service does that streams."""
    following = iter(answers)
    service.on("GET", EVENTS, lambda _: next(following))


def rows(*numbers: int) -> list[tuple[str, documents.Doc]]:
    return [("message", documents.EVENTS[number - 1]) for number in numbers]


def test_watch_listens_to_the_stream_and_asks_nothing_else(service: FakeService, shell: Shell) -> None:
    streamed(service, Said(stream=[*rows(1, 2), ("state", documents.operation()), *rows(5, 6), ("end", documents.ended())]))
    ran = shell("watch", OPERATION)
    assert ran.code == 0
    assert "12:00:02Z  verdict" in ran.out
    assert "12:00:05Z  step done" in ran.out
    assert "recovered after 14.2 s" in ran.out
    assert [(one.path, dict(one.query)) for one in service.heard] == [(PATH, {}), (EVENTS, {})]
    assert service.heard[1].headers["Accept"].startswith("text/event-stream")


def test_a_lost_stream_is_taken_up_again_behind_the_last_event(service: FakeService, shell: Shell) -> None:
    streamed(
        service,
        Said(stream=[*rows(1, 2), ("state", documents.operation())], drop=True),
        refusal(503, "store_unavailable", "starting"),
        Said(stream=[("state", documents.operation())]),
        Said(stream=[*rows(5, 6), ("end", documents.ended())]),
    )
    ran = shell("watch", OPERATION)
    assert ran.code == 0
    assert ran.out.count("12:00:02Z  verdict") == 1
    assert [one.headers["Last-Event-ID"] for one in service.asked("GET", EVENTS)] == ["0", "2", "2", "2"]
    assert ran.err.count("trying again") == 2
    assert shell.naps == [0.5, 1.0, 0.5]


def test_an_event_that_is_told_twice_is_shown_once(service: FakeService, shell: Shell) -> None:
    streamed(service, Said(stream=[*rows(1, 2, 1, 2), ("end", documents.ended())]))
    assert shell("watch", OPERATION).out.count("verdict") == 1


def test_without_a_free_place_for_a_stream_it_is_polled_for(service: FakeService, shell: Shell) -> None:
    def full(heard: Heard) -> Said:
        if "after" not in heard.query:
            return refusal(503, "too_many_streams", "200 streams are open already")
        return Said(document={"operation": OPERATION, "state": "alive", "rev": 3, "events": documents.EVENTS if heard.query["after"] == "0" else []})

    service.on("GET", EVENTS, full)
    ran = shell("watch", OPERATION)
    assert (ran.code, ran.err) == (0, "")
    assert "12:00:05Z  step done" in ran.out
    assert "recovered after 14.2 s" in ran.out


def test_a_token_that_loses_its_right_ends_the_watching_of_a_stream(service: FakeService, shell: Shell) -> None:
    streamed(service, Said(stream=rows(1)), refusal(401, "invalid_token", "the token expired"))
    ran = shell("watch", OPERATION)
    assert ran.code == 1
    assert "backout: the token expired" in ran.err


def test_watch_with_json_tells_the_stream_as_it_is(service: FakeService, shell: Shell) -> None:
    streamed(service, Said(stream=[*rows(1), ("state", documents.waiting()), *rows(6), ("end", documents.ended())]))
    ran = shell("watch", OPERATION, "--json")
    assert lines(ran) == [("event", documents.EVENTS[0]), ("state", documents.waiting()), ("event", documents.EVENTS[5]), ("end", documents.ended())]


def test_a_rollback_that_is_followed_still_answers_one_document(service: FakeService, shell: Shell) -> None:
    streamed(service, Said(stream=[*rows(1), ("end", documents.ended())]))
    service.stages = [documents.operation(), documents.ended()]
    service.on("GET", PATH, lambda _: Said(document=documents.ended() if service.asked("GET", EVENTS) else documents.operation()))
    ran = shell("rollback", documents.TARGET, "--yes", "--digest", documents.DIGEST, "--json")
    assert ran.document == documents.ended()


def test_a_window_shows_what_is_done_now_and_takes_that_line_away_at_the_end(service: FakeService, shell: Shell) -> None:
    acting = documents.operation(phase="act_watch", says="Roll back to history id 56.", updated_at="2026-05-04T12:01:07Z")
    streamed(service, Said(stream=[*rows(1), ("state", acting), ("end", documents.ended())]))
    shell.environment["TERM"] = "xterm"
    ran = shell("watch", OPERATION, "--no-color", out=Screen())
    assert "\r\x1b[2Know: waiting until it is done: Roll back to history id 56. · 4 s" in ran.out
    assert ran.out.rindex("\x1b[2K") < ran.out.index("recovered after")
    assert ran.out[: ran.out.index("recovered after")].rstrip().endswith("\x1b[2K")


def test_where_no_window_is_there_is_no_line_at_the_bottom(service: FakeService, shell: Shell) -> None:
    streamed(service, Said(stream=[("state", documents.operation()), ("end", documents.ended())]))
    assert "\x1b" not in shell("watch", OPERATION).out
