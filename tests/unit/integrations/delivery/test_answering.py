from dataclasses import dataclass
from typing import Any

import pytest

from integrations.delivery.answering import SLOW, Answering
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Key, Known
from tests.fakes.clock import FakeClock


@dataclass(frozen=True)
class Reply:
    what: str = "GET /thing"
    digest: str = "sha256:1"


def answering(clock: FakeClock, error: Exception | None = None) -> Answering:
    async def state(subject: Any) -> Known[Any]:
        if error is not None:
            raise error
        return made.known(("state of", subject), Reply(), SLOW)

    made = Answering({"state": state}, system="Argo CD", source="argocd:prod", fix="look at the token", clock=clock)
    return made


async def test_a_fact_says_what_it_rests_on_when_that_was_read_and_how_long_it_holds() -> None:
    clock = FakeClock()
    fact = await answering(clock).read(Key("state", "web"))
    assert isinstance(fact, Known)
    assert (fact.value, fact.good_for) == (("state of", "web"), SLOW)
    assert (fact.evidence.source, fact.evidence.what, fact.evidence.digest, fact.evidence.read_at) == ("argocd:prod", "GET /thing", "sha256:1", clock.now())


async def test_where_several_requests_made_it_better_words_stand_in_its_evidence() -> None:
    assert answering(FakeClock()).known(1, Reply(), SLOW, what="pods of web").evidence.what == "pods of web"


@pytest.mark.parametrize("error", [TemporaryError("away"), PermanentError("no such call"), RefusedError("not allowed")])
async def test_promise_1_a_failure_outside_is_an_absence_with_the_servers_words_and_what_to_look_at(error: Exception) -> None:
    assert await answering(FakeClock(), error).read(Key("state", "web")) == Absent(str(error), "look at the token")


async def test_a_mistake_of_our_own_is_no_absence() -> None:
    with pytest.raises(KeyError):
        await answering(FakeClock(), KeyError("ours")).read(Key("state", "web"))


async def test_a_kind_that_is_not_known_is_absent_and_the_known_ones_are_told() -> None:
    made = answering(FakeClock())
    assert made.kinds == {"state"}
    assert await made.read(Key("weather", "web")) == Absent("Argo CD knows nothing of the weather")
