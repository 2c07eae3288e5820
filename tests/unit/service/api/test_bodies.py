import pytest
from pydantic import ValidationError

from service.api.bodies import Approve, EndHold, MakePlan, StartRollback, WithReason


def test_a_target_is_read_as_an_id() -> None:
    assert str(MakePlan(target="prod:team-a/orders").target_id) == "prod:team-a/orders"


def test_what_is_not_said_is_the_careful_choice() -> None:
    end, start = EndHold(reason="fixed"), StartRollback(target="prod:checkout")
    assert (end.leave_auto_sync_off, end.accept_bad) == (False, False)
    assert (start.plan_digest, start.accept) == (None, [])
    assert WithReason().reason == ""


def test_nothing_is_bent_into_shape() -> None:
    for wrong in ({"accept_bad": 1}, {"accept_bad": "true"}, {"reason": 7}, {"because": "x"}, {"reason": "x" * 2001}):
        with pytest.raises(ValidationError):
            EndHold.model_validate({"reason": "fixed"} | wrong)


def test_an_approval_cannot_leave_the_digest_out() -> None:
    with pytest.raises(ValidationError):
        Approve.model_validate({"accept": []})
    with pytest.raises(ValidationError):
        Approve.model_validate({"plan_digest": "sha256:" + "G" * 64})
