from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.domain import keys
from service.domain.facts import Key
from service.domain.model import Way
from service.domain.rules.permissions_suffice import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

ALL = {"get": True, "sync": True, "update": True}


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def allowed(permissions: dict[str, bool], *, auto_sync: bool = True, fix: Mapping[str, str] | None = None) -> World:
    return world().tell(made.PERMISSIONS, keys.Permissions(allowed=permissions, fix=fix or {})).tell(made.STATE, made.state(auto_sync=auto_sync))


def test_every_permission_of_the_way_passes_and_is_named() -> None:
    finding = ask(world())
    assert (finding.answer, finding.says) == (Answer.PASS, "Backout's account may get, sync, update prod:checkout.")
    assert {one.what for one in finding.evidence} == {str(made.PERMISSIONS), str(made.STATE)}


@pytest.mark.parametrize("name", ["get", "sync", "update"])
def test_one_permission_refused_is_a_no_with_the_line_to_add(name: str) -> None:
    finding = ask(allowed(ALL | {name: False}, fix={name: f"p, role:backout, applications, {name}, shop/*, allow"}))
    assert (finding.answer, finding.says) == (Answer.BLOCK, f"Backout's account may not {name} prod:checkout.")
    assert finding.clears == f"Add: p, role:backout, applications, {name}, shop/*, allow"


def test_an_undo_is_asked_about_in_words_that_its_delivery_system_has() -> None:
    def undo(permissions: dict[str, bool]) -> Finding:
        asked = allowed(permissions, auto_sync=False)
        spoken = {"get": "read", "sync": "act on"}
        asked.tell(made.PERMISSIONS, keys.Permissions(allowed=permissions, fix={"sync": "EXECUTE on application shop"}, spoken=spoken))
        asked.way = Way.UNDO
        return ask(asked)

    assert undo({"get": True, "sync": True}).says == "Backout's account may read, act on prod:checkout."
    no = undo({"get": True, "sync": False})
    assert (no.says, no.clears) == ("Backout's account may not act on prod:checkout.", "Add: EXECUTE on application shop")
    assert undo({"get": True}).says == "Whether Backout's account may act on prod:checkout is unknown."


def test_a_no_without_a_known_line_still_says_what_to_grant() -> None:
    assert ask(allowed(ALL | {"sync": False})).clears == "Grant sync to Backout's account."


@pytest.mark.parametrize("name", ["get", "sync", "update"])
def test_a_permission_that_nobody_asked_for_is_unknown(name: str) -> None:
    finding = ask(allowed({one: True for one in ALL if one != name}))
    assert (finding.answer, finding.says) == (Answer.UNKNOWN, f"Whether Backout's account may {name} prod:checkout is unknown.")


def test_update_is_needed_only_to_stop_auto_sync() -> None:
    assert ask(allowed({"get": True, "sync": True, "update": False}, auto_sync=False)).answer is Answer.PASS
    assert ask(allowed({"get": True, "sync": True, "update": False}, auto_sync=True)).answer is Answer.BLOCK


@pytest.mark.parametrize(("may", "answer"), [(True, Answer.PASS), (False, Answer.BLOCK)])
def test_a_server_that_enforces_a_rollback_permission_is_believed(may: bool, answer: Answer) -> None:
    assert ask(allowed(ALL | {"rollback": may})).answer is answer


def test_a_refusal_speaks_before_what_is_not_known() -> None:
    assert ask(allowed({"get": False})).answer is Answer.BLOCK


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        (Way.GIT_REVERT, Answer.PASS),
        (Way.PIN, Answer.BLOCK),
        (Way.FLAG_OFF, Answer.UNKNOWN),
        (Way.UNDO, Answer.PASS),
        (Way.ENABLE_PREVIOUS, Answer.PASS),
    ],
)
def test_what_is_needed_depends_on_the_way(way: Way, answer: Answer) -> None:
    other = allowed({"get": True, "sync": True, "update": False})
    other.way = way
    assert ask(other).answer is answer


@pytest.mark.parametrize("key", [made.PERMISSIONS, made.STATE], ids=["permissions", "state"])
def test_what_nobody_could_read_is_unknown(key: Key[object]) -> None:
    assert ask(world().hide(key)).answer is Answer.UNKNOWN


def test_an_empty_list_of_permissions_is_not_a_yes() -> None:
    assert ask(allowed({})).answer is Answer.UNKNOWN


def test_an_abort_needs_the_right_to_abort() -> None:
    def asked(may: bool) -> Finding:
        of = made.rolled_out(world(way=Way.ABORT), {"stable": "good", "current": "bad"}, {"skips": "stable"})
        line = {"abort": "p, backout, …/abort, allow"}
        return ask(of.tell(made.PERMISSIONS, keys.Permissions(allowed=ALL | {"abort": may, "promote": False}, fix=line)))

    assert asked(may=True).answer is Answer.PASS
    assert (asked(may=False).answer, asked(may=False).clears) == (Answer.BLOCK, "Add: p, backout, …/abort, allow")


@pytest.mark.parametrize("way", [Way.ROLLBACK, Way.ABORT])
def test_the_right_to_promote_is_needed_only_where_the_plan_promotes(way: Way) -> None:
    for allows, answer in ((True, Answer.BLOCK), (False, Answer.PASS)):
        of = made.rolled_out(world(way=way), {"stable": "bad", "current": "bad"}, {"steps": 2}, promote_full=allows)
        of.tell(made.PERMISSIONS, keys.Permissions(allowed=ALL | {"abort": True, "promote": False}, fix={}))
        assert ask(of).answer is answer


@pytest.mark.parametrize(
    ("remembered", "marker", "needs"),
    [
        (None, "", ["get"]),
        ({"triggers": [{"says": "cron"}]}, "", ["get", "update"]),
        ({"automated": {}}, "", ["get", "update"]),
        (None, "op", ["get", "update"]),
    ],
)
def test_what_is_live_already_needs_a_right_only_for_what_the_hold_gives_back(remembered: object, marker: str, needs: list[str]) -> None:
    of = made.live_world()
    of.context = {**of.context, "remembered": remembered}
    of.tell(made.STATE, replace(made.held_state(), marker=marker)).tell(made.PERMISSIONS, keys.Permissions(allowed=dict.fromkeys(needs, True), fix={}))
    assert ask(of).says == f"Backout's account may {', '.join(needs)} prod:checkout."


EXAMPLES: made.Examples = {
    "everything is allowed": world(),
    "the account may only look": world().tell(
        made.PERMISSIONS,
        keys.Permissions(allowed={"get": True, "sync": False, "update": False}, fix={"sync": "p, backout, applications, sync, shop/*, allow"}),
    ),
    "the server does not say": world().hide(made.PERMISSIONS),
}
