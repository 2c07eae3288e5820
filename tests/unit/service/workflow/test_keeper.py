"""The keeper over a real store: what it sees, what it says and how often, and what it begins."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.holding import Standing
from service.domain.model import Actor, Mode, Outcome, Release, Watch, Way
from service.domain.ports import ListedTarget
from service.store import tables as t
from service.workflow import record
from service.workflow.keeper import AGAIN_AFTER, Keeper
from tests.fakes.delivery import BACK
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import TARGET, Stage

JANE = Actor(kind="user", name="jane")
README = replace(made.FIX, key="readme", sources=(made.source("a" * 40),))
README_TOO = replace(made.FIX, key="readme-too", sources=(made.source("b" * 40),))


async def watch_of(stage: Stage) -> Watch:
    hold = await stage.hold()
    assert hold is not None
    assert hold.watch is not None
    return hold.watch


async def events(stage: Stage) -> list[str]:
    return [one["event"] for one in await stage.messages()]


def readme(stage: Stage, release: object = README) -> None:
    """A commit on top of the bad release that changes nothing of what is deployed."""
    assert isinstance(release, type(README))
    stage.push(release, made.NEW_IMAGE)
    stage.app.manifests[release.key] = (made.rendered(replicas="3"),)


async def test_promise_7_what_only_the_bad_release_has_is_written_down_at_once(stage: Stage) -> None:
    hold = await stage.held()
    await stage.keeper.round()
    (held,) = await stage.holds.releases(hold.id)
    assert (held.release, held.against) == (made.SUSPECT, made.GOAL)
    assert held.bad is not None
    assert {str(trait) for trait in held.bad.traits} == {str(made.NEW_IMAGE.exact), "apps/Deployment shop/web spec.replicas"}


async def test_promise_7_what_was_written_down_stays_when_it_can_no_longer_be_read(stage: Stage) -> None:
    hold = await stage.held()
    await stage.keeper.round()
    before = await stage.holds.releases(hold.id)
    stage.app.manifests.clear()
    await stage.keeper.round()
    assert await stage.holds.releases(hold.id) == before


async def test_promise_7_a_readme_commit_on_top_of_the_bad_release_is_still_bad_and_said_once(stage: Stage) -> None:
    await stage.held()
    for release in (README, README_TOO):
        readme(stage, release)
        assert await stage.keep() is None
        assert await stage.keep() is None
    assert (await watch_of(stage)).standing == Standing.STILL_BAD
    assert (await events(stage)).count("hold_still_bad") == 1
    assert (await watch_of(stage)).desired == README_TOO.revision


async def test_promise_1_a_release_that_cannot_be_compared_is_not_deployed_and_a_person_is_told_once(stage: Stage) -> None:
    await stage.held()
    stage.push(image=replace(made.FIX_IMAGE, reference="registry.example/shop/web:2.5.1", digest=None, proof=""))
    assert [await stage.keep() for _ in range(3)] == [None, None, None]
    assert (await watch_of(stage)).standing == Standing.UNKNOWN
    assert (await events(stage)).count("hold_unknown") == 1


async def test_promise_3_a_candidate_begins_one_operation(stage: Stage) -> None:
    await stage.held()
    stage.push()
    began = await stage.keep()
    assert began is not None
    assert (began.kind.value, began.automatic, str(began.requested_by), began.mode) == ("forward", True, "automation:hold", Mode.AUTO)
    assert await stage.keep() is None
    assert (await watch_of(stage)).operation_id == began.id


async def test_promise_3_of_two_replicas_one_begins_it(stage: Stage) -> None:
    await stage.held()
    stage.push()
    hold = await stage.hold()
    assert hold is not None
    seen = Watch(at=stage.clock.now(), operation_id="op_x")
    assert await stage.holds.see(hold, seen, (), (), stage.clock.now())
    assert not await stage.holds.see(hold, replace(seen, operation_id="op_y"), (), (), stage.clock.now())
    assert (await watch_of(stage)).operation_id == "op_x"


async def test_promise_2_one_that_was_noted_and_never_begun_is_begun_by_the_next_round(stage: Stage) -> None:
    await stage.held()
    stage.push()
    await stage.keeper.round()
    hold = await stage.hold()
    assert hold is not None
    assert hold.watch is not None
    lost = replace(hold.watch, operation_id="op_lost")
    await stage.drive(identity=hold.watch.operation_id, until="act_send")
    row = await stage.row(hold.watch.operation_id)
    assert row.done_at is None
    assert await stage.holds.see(hold, lost, (), (), stage.clock.now())
    assert await stage.keep() is None  # the first one is alive: nothing is begun beside it
    await stage.drive(identity=row.id)
    assert await stage.hold() is None


async def test_a_refusal_is_tried_again_later_and_told_once(stage: Stage) -> None:
    await stage.held()
    stage.push()
    stage.stop_file.write_text("by jane")
    first = await stage.went_forward()
    assert await stage.keep() is None
    assert (await watch_of(stage)).again_at == (first.done_at or made.NOW) + AGAIN_AFTER
    stage.clock.at += AGAIN_AFTER + timedelta(seconds=1)
    second = await stage.went_forward()
    assert (second.id != first.id, second.says) == (True, first.says)
    assert (await events(stage)).count("refused") == 1
    await stage.keeper.round()
    assert (await watch_of(stage)).again_at == (second.done_at or made.NOW) + 2 * AGAIN_AFTER


async def test_a_target_that_was_never_deployed_by_itself_is_synced_by_a_person(stage: Stage) -> None:
    stage.app.auto_sync = False
    await stage.held()
    stage.push()
    row = await stage.went_forward()
    assert (row.mode, row.outcome.value if row.outcome else "") == (Mode.SUGGEST, "suggested")


async def test_promise_13_without_anybody_to_tell_it_only_observes(stage: Stage) -> None:
    await stage.held()
    stage.told = replace(stage.told, channels=())
    stage.use(stage.policies.of(TARGET))
    stage.push()
    began = await stage.keep()
    assert began is not None
    assert began.mode is Mode.OBSERVE


async def test_promise_5_while_an_operation_is_alive_nothing_is_begun(stage: Stage) -> None:
    await stage.held()
    stage.push()
    await stage.begin(identity="op_2")
    assert await stage.keep() is None


async def test_nothing_new_writes_nothing(stage: Stage) -> None:
    await stage.held()
    readme(stage)
    await stage.keeper.round()
    hold = await stage.hold()
    stage.clock.at += timedelta(seconds=10)
    await stage.keeper.round()
    again = await stage.hold()
    assert hold is not None
    assert again is not None
    assert again.watch_rev == hold.watch_rev


@pytest.mark.parametrize(("trouble", "event"), [("auto_sync", "hold_auto_sync_on"), ("mark", "hold_mark_gone"), ("foreign", "hold_mark_foreign")])
async def test_promise_13_what_somebody_changed_of_the_hold_is_told_once_and_recorded(stage: Stage, trouble: str, event: str) -> None:
    hold = await stage.held()
    readme(stage)
    await stage.keeper.round()
    if trouble == "auto_sync":
        stage.app.auto_sync = True
    else:
        stage.app.marker = "" if trouble == "mark" else "operation=other suspect= goal="
    for _ in range(3):
        stage.clock.at += timedelta(seconds=10)
        await stage.keeper.round()
    assert (await events(stage)).count(event) == 1
    assert event in [one.kind for one in await stage.operations.events(hold.id)]
    left = await stage.hold()
    assert left is not None
    assert left.closed_at is None


async def pinned(stage: Stage) -> None:
    """A hold that went by a pin."""
    hold = await stage.held()
    row = await stage.row(hold.operation_id)
    data = record.load(row)
    assert data.plan is not None
    by_pin = record.dump(replace(data, plan=replace(data.plan, way=Way.PIN)))
    async with stage.database.write() as connection:
        await connection.execute(t.operation.update().where(t.operation.c.id == row.id).values(data=dict(by_pin)))
    stage.app.desired, stage.app.auto_sync = stage.app.live, True
    stage.app.desired_revision = stage.app.live.revision


async def test_promise_13_a_pin_that_is_taken_back_and_a_held_release_that_is_live_again_are_told_once(stage: Stage) -> None:
    await pinned(stage)
    await stage.keeper.round()
    stage.app.desired_revision = made.SUSPECT.revision
    for _ in range(2):
        stage.clock.at += timedelta(seconds=10)
        await stage.keeper.round()
    now = stage.clock.now()
    stage.app.history.insert(0, replace(made.SUSPECT, handle="44", started_at=now, deployed_at=now))
    for _ in range(2):
        stage.clock.at += timedelta(seconds=10)
        await stage.keeper.round()
    assert [(await events(stage)).count(event) for event in ("hold_pin_gone", "hold_held_is_live")] == [1, 1]
    assert (await watch_of(stage)).says == f"the pin to release {made.GOAL.title} was taken back"


async def test_promise_7_a_hold_by_a_pin_is_not_ended_by_what_the_pin_itself_wants(stage: Stage) -> None:
    await pinned(stage)
    assert await stage.keep() is None
    seen = await watch_of(stage)
    assert (seen.standing, seen.troubles) == (Standing.HELD, {})
    assert "hold_auto_sync_on" not in await events(stage)


def deployed(stage: Stage, release: Release, handle: str) -> Release:
    """Jane deploys it past Backout."""
    now = stage.clock.now()
    stage.app.history.insert(0, replace(release, handle=handle, started_at=now, deployed_at=now, by=JANE))
    return stage.app.history[0]


async def test_the_held_release_live_again_is_told(stage: Stage) -> None:
    await stage.held()
    await stage.keeper.round()
    again = deployed(stage, made.SUSPECT, "50")
    assert await stage.keep() is None
    (told,) = [one for one in await stage.messages() if one["event"] == "hold_held_is_live"]
    assert told["title"] == f"{TARGET}: what is held is live"
    assert f"release {again.title}, which is held, is live again." in told["text"]


async def test_a_held_release_that_a_failed_rollback_never_took_away_is_told_once_as_live_still_and_later_as_live_again(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["failed"]
    assert (await stage.recovered()).outcome is Outcome.FAILED
    stage.app.desired = made.SUSPECT
    for _ in range(3):
        stage.clock.at += timedelta(seconds=10)
        await stage.keeper.round()

    async def told() -> list[str]:
        return [one["text"].splitlines()[1] for one in await stage.messages() if one["event"] == "hold_held_is_live"]

    still = f"release {made.SUSPECT.title}, which is held, is still live: the rollback did not take it away."
    assert await told() == [still]
    assert (await watch_of(stage)).says == still.rstrip(".")

    for release, handle in ((made.GOAL, "50"), (made.SUSPECT, "51")):
        deployed(stage, release, handle)
        for _ in range(2):
            stage.clock.at += timedelta(seconds=10)
            await stage.keeper.round()
    assert await told() == [still, f"release {stage.app.live.title}, which is held, is live again."]


async def test_a_held_release_that_was_away_before_the_first_look_is_live_again(stage: Stage) -> None:
    await stage.held()
    again = deployed(stage, made.SUSPECT, "50")
    assert await stage.keep() is None
    assert (await watch_of(stage)).says == f"release {again.title}, which is held, is live again"


@pytest.mark.parametrize("auto_sync", [True, False])
async def test_the_review_tells_of_auto_sync_only_where_the_hold_stopped_it(stage: Stage, *, auto_sync: bool) -> None:
    stage.app.auto_sync = auto_sync
    hold = await stage.held()
    stage.clock.at = hold.review_at
    await stage.keeper.round()
    told = [one for one in await stage.messages() if one["event"] == "hold_review"]
    assert [("auto-sync stays off" in one["text"]) for one in told] == [auto_sync]


async def test_what_is_off_is_told_in_the_words_of_the_delivery_system(stage: Stage) -> None:
    stage.delivery.stops = "what starts its pipelines"
    hold = await stage.held()
    assert (hold.what, hold.remembered["what"]) == ("what starts its pipelines", "what starts its pipelines")
    stage.clock.at = hold.review_at
    await stage.keeper.round()
    (told,) = [one for one in await stage.messages() if one["event"] == "hold_review"]
    assert "what starts its pipelines stays off" in told["text"]
    stage.app.marker = ""
    await stage.keeper.round()
    left = await stage.hold()
    assert left is not None
    assert left.watch is not None
    assert left.watch.troubles["mark_gone"].endswith("what starts its pipelines may be on again")


async def test_promise_7_a_hold_past_its_review_is_renewed_and_told_more_loudly_each_time(stage: Stage) -> None:
    hold = await stage.held()
    told: list[tuple[str, int, str]] = []
    for _ in range(3):
        now = await stage.hold()
        assert now is not None
        stage.clock.at = now.review_at + timedelta(seconds=1)
        await stage.keeper.round()
        await stage.keeper.round()
        last = [one for one in await stage.messages() if one["event"] == "hold_review"][-1]
        told.append((last["severity"], last["count"], last["owner"]))
    after = await stage.hold()
    assert after is not None
    assert (after.id, after.reviews, after.closed_at) == (hold.id, 3, None)
    assert told == [("notice", 1, "alert:HighErrorRate"), ("warning", 2, "alert:HighErrorRate"), ("critical", 3, "alert:HighErrorRate")]
    assert (await events(stage)).count("hold_review") == 3
    assert (stage.keeper.open, stage.keeper.past_review) == (1, 1)
    assert [one.kind for one in await stage.operations.events(hold.id)].count("hold_renewed") == 3


async def test_trouble_with_one_hold_is_unknown_and_stops_nothing(stage: Stage) -> None:
    await stage.held()
    await stage.keeper.round()
    stage.delivery.trouble["read"] = RuntimeError("away")
    assert await stage.keep() is None
    seen = await watch_of(stage)
    assert (seen.standing, "what is desired is unknown" in seen.says) == (Standing.UNKNOWN, True)


# --- orphans ---------------------------------------------------------------------------------------------------------------------


async def marked(stage: Stage, marker: str) -> Keeper:
    stage.app.marker = marker
    await stage.watcher.look(TARGET)
    stage.clock.at += timedelta(minutes=2)
    return stage.keeper


async def test_promise_7_a_mark_that_no_hold_of_ours_explains_is_an_orphan_told_once(stage: Stage) -> None:
    keeper = await marked(stage, "operation=op_gone suspect= goal=")
    await keeper.round()
    await keeper.round()
    (orphan,) = await keeper.orphans()
    assert (orphan.mark.target, orphan.mark.unmark, keeper.orphaned) == (TARGET, "take the mark off", 1)
    assert "that this Backout does not know" in orphan.says
    assert (await events(stage)).count("orphaned_hold") == 1


async def test_the_mark_of_an_open_hold_is_no_orphan(stage: Stage) -> None:
    await stage.held()
    keeper = await marked(stage, stage.app.marker)
    assert await keeper.orphans() == []


async def test_a_mark_that_outlived_its_hold_is_an_orphan(stage: Stage) -> None:
    hold = await stage.held()
    keeper = await marked(stage, stage.app.marker)
    await stage.holds.end(hold.id, by="user:jane", because="done", at=stage.clock.now())
    (orphan,) = await keeper.orphans()
    assert orphan.says == f"the mark of {hold.operation_id} is still on {TARGET}, but its hold has ended"


async def test_a_young_mark_is_none_yet_for_its_row_may_be_under_way(stage: Stage) -> None:
    stage.app.marker = "operation=op_new suspect= goal="
    await stage.watcher.look(TARGET)
    assert await stage.keeper.orphans() == []


async def test_a_mark_that_was_taken_off_or_whose_target_is_gone_is_forgotten(stage: Stage) -> None:
    keeper = await marked(stage, "operation=op_gone suspect= goal=")
    await marked(stage, "")
    assert await keeper.orphans() == []
    await marked(stage, "operation=op_gone suspect= goal=")
    listing = await stage.delivery.targets()
    empty: tuple[ListedTarget, ...] = ()
    await stage.targets.remember(replace(listing, targets=empty), "prod", stage.clock.now())
    assert await keeper.orphans() == []
