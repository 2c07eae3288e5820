from dataclasses import replace
from datetime import timedelta

from service.api import views
from service.domain.facts import Absent
from service.domain.model import Outcome, TargetId, Way
from service.domain.planning.plan import Offer
from service.domain.readiness import Standing, renewed
from service.domain.verdict import Answer as Verdict
from service.domain.verdict import Finding, blocks, passes, unknown, warns
from service.workflow.watch import Freshness, Stream
from tests.fakes.store import operation
from tests.unit.service.api.conftest import Api, MakeApi
from tests.unit.service.api.world import CHECKOUT, NOW, ORDERS, RULE, STAGING, World
from tests.unit.service.domain.test_readiness import standing

CHECK = "/v1/targets/prod:checkout/rollback-check"


async def test_the_list_shows_what_is_open_around_each_target(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    hold = await world.held()
    alive = await world.begun()
    incident = await world.incident()
    got = await api.get("/v1/targets")
    assert got.status == 200
    assert got.body["complete"] is True
    listed = {"instance": "prod", "listed_at": "2026-05-04T12:01:03Z", "age_s": 4.0, "complete": True, "trouble": ""}
    assert got.body["instances"] == [{**listed, "stream": "off", "stream_since": None, "stream_trouble": ""}]
    checkout, orders = got.body["targets"]
    assert (checkout["id"], checkout["hold"], checkout["incident"], checkout["operation"]) == ("prod:checkout", hold.id, incident, alive.id)
    assert (checkout["mode"], checkout["health"], checkout["images"]) == ("approve", "Degraded", ["registry.example/shop/web:2.5.0"])
    assert checkout["allowed_actions"] == ["check", "plan"]
    assert checkout["links"]["operation"] == f"/v1/operations/{alive.id}"
    assert (orders["hold"], orders["incident"], orders["operation"]) == (None, None, None)
    assert orders["allowed_actions"] == ["check", "plan", "rollback"]
    assert orders["age_s"] == 4.0


async def test_promise_10_a_target_that_backout_rolled_back_by_itself_says_until_when_it_is_disarmed(world: World, api: Api) -> None:
    by_itself, other = TargetId("prod", "auto-cart"), TargetId("prod", "auto-mail")
    await world.list_targets(CHECKOUT, by_itself, other)
    for identity, target in (("op_a", by_itself), ("op_b", CHECKOUT)):
        row = await world.operations.begin(operation(identity, target=target, created_at=NOW, updated_at=NOW), (), ())
        await world.move(row, phase="ended", first_effect=True, suspect_key="key", done=Outcome.RECOVERED)
    told = {one["id"]: one["disarmed_until"] for one in (await api.get("/v1/targets")).body["targets"]}
    until = views.utc(NOW + timedelta(hours=6))
    assert told == {"prod:auto-cart": until, "prod:auto-mail": None, "prod:checkout": None}  # where a person decides anyway there is nothing to disarm
    assert (await api.get("/v1/targets/prod:auto-cart")).body["disarmed_until"] == until
    world.clock.at += timedelta(hours=6, seconds=1)
    later = world.token("targets:read", targets=["prod:*"])
    assert (await api.get("/v1/targets/prod:auto-cart", token=later)).body["disarmed_until"] is None


async def test_a_target_outside_the_tokens_patterns_is_not_in_the_list(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    got = await api.get("/v1/targets", token=world.token("targets:read", targets=["prod:team-a/*"]))
    assert [one["id"] for one in got.body["targets"]] == ["prod:team-a/orders"]
    assert got.body["targets"][0]["allowed_actions"] == ["check"]


async def test_a_list_with_an_instance_in_trouble_says_that_it_may_be_short(world: World, api: Api) -> None:
    world.freshness["second"] = Freshness(trouble="permission denied")
    got = await api.get("/v1/targets")
    assert got.body["complete"] is False
    second = got.body["instances"][1]
    assert (second["instance"], second["listed_at"], second["complete"], second["trouble"]) == ("second", None, False, "permission denied")


async def test_a_stream_that_is_down_is_told_and_does_not_make_the_list_short(world: World, api: Api) -> None:
    world.freshness["prod"].stream_is(Stream.DOWN, NOW, "the proxy cut it off")
    got = await api.get("/v1/targets")
    instance = got.body["instances"][0]
    assert (instance["stream"], instance["stream_since"], instance["stream_trouble"]) == ("down", "2026-05-04T12:01:07Z", "the proxy cut it off")
    assert got.body["complete"] is True


async def test_an_instance_that_was_never_listed_makes_the_list_incomplete(world: World, api: Api) -> None:
    world.freshness["prod"] = Freshness()
    got = await api.get("/v1/targets")
    assert got.body["complete"] is False
    assert got.body["instances"][0]["trouble"] == "not listed yet"


async def test_without_any_instance_absence_proves_nothing(world: World, api: Api) -> None:
    world.freshness.clear()
    assert (await api.get("/v1/targets")).body["complete"] is False


async def test_a_target_shows_the_release_that_was_last_seen_live(world: World, api: Api) -> None:
    (target,) = (await api.get("/v1/targets")).body["targets"]
    assert target["live"] is None
    (seen,) = (await world.targets.records(CHECKOUT)).values()
    await world.targets.remember_state_record(replace(seen, key="key-42", handle="42", version="v2.5.0", watched_from=NOW, live_until=None))
    live = {"release": "42", "version": "v2.5.0", "since": "2026-05-04T12:01:07Z"}
    assert (await api.get("/v1/targets")).body["targets"][0]["live"] == live
    assert (await api.get("/v1/targets/prod:checkout")).body["live"] == live


async def test_one_target_shows_the_releases_that_were_seen_live(api: Api) -> None:
    got = await api.get("/v1/targets/prod:checkout")
    (seen,) = got.body["releases"]
    assert (seen["release"], seen["healthy_for_s"], seen["images"][0]["proof"]) == ("41", 82800.0, "pods")
    assert got.headers["ETag"] == got.body["etag"]
    assert got.headers["Vary"] == "Authorization, Accept"


async def test_being_listed_again_does_not_change_a_targets_etag_and_a_new_state_does(world: World, api: Api) -> None:
    first = await api.get("/v1/targets/prod:checkout")
    world.clock.at += timedelta(seconds=30)
    again = await api.get("/v1/targets/prod:checkout", headers={"If-None-Match": first.body["etag"]})
    assert (again.status, again.text) == (304, "")
    await world.begun()
    changed = await api.get("/v1/targets/prod:checkout", headers={"If-None-Match": first.body["etag"]})
    assert changed.status == 200


async def test_a_target_with_a_slash_is_one_percent_encoded_segment(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    got = await api.get("/v1/targets/prod:team-a%2Forders")
    assert got.body["id"] == "prod:team-a/orders"
    assert got.body["links"]["self"] == "/v1/targets/prod:team-a%2Forders"
    assert (await api.get(got.body["links"]["check"])).body["target"] == "prod:team-a/orders"


async def test_a_target_that_the_token_may_not_see_is_told_like_one_that_is_not_there(world: World, api: Api) -> None:
    token = world.token("targets:read", targets=["staging:*"])
    hidden = await api.get("/v1/targets/prod:checkout", token=token)
    missing = await api.get("/v1/targets/prod:nothing", token=token)
    assert (hidden.status, hidden.code) == (missing.status, missing.code) == (404, "not_found")
    assert hidden.body["detail"].replace("checkout", "nothing") == missing.body["detail"]
    assert "staging:*" in hidden.body["detail"]
    assert (await api.get(CHECK, token=token)).status == 404


async def test_what_is_no_target_id_is_a_bad_request(api: Api) -> None:
    got = await api.get("/v1/targets/checkout")
    assert (got.status, got.code) == (400, "invalid_request")
    assert "expected <instance>:<name>" in got.body["detail"]


async def test_a_check_tells_whether_where_and_why(world: World, api: Api) -> None:
    got = await api.get(CHECK)
    body = got.body
    assert (body["verdict"], body["way"], body["target"], body["as_of"]) == ("pass", "rollback", "prod:checkout", "2026-05-04T12:01:07Z")
    assert (body["from"]["release"], body["from"]["version"], body["to"]["release"]) == ("42", "v2.5.0", "41")
    assert body["recommended"] == {"way": "rollback", "because": "Every question has a yes."}
    assert [(one["rule"], one["answer"], one["gate"]) for one in body["findings"]] == [(RULE, "pass", True)]
    assert body["plan_digest"].startswith("sha256:")
    assert body["must_name"] == []
    assert body["allowed_actions"] == ["plan", "rollback"]
    assert body["links"]["delivery"] == "https://argocd.example/checkout"
    assert world.engine.started == []
    assert await world.operations.alive() == ()


async def test_a_check_names_the_rules_that_an_approval_has_to_name(world: World, api: Api) -> None:
    world.finding = warns("Release 42 writes a new field.", clears="Tick it.")
    body = (await api.get(CHECK)).body
    assert (body["verdict"], body["must_name"], body["allowed_actions"]) == ("warn", [RULE], ["plan", "rollback"])
    world.finding = unknown("Nobody could be asked.", clears="Configure the broker.")
    body = (await api.get(CHECK)).body
    assert (body["verdict"], body["must_name"]) == ("unknown", [RULE])
    assert body["findings"][0]["clears"] == "Configure the broker."


async def test_a_blocked_check_names_the_way_instead_and_offers_no_rollback(world: World, api: Api) -> None:
    world.finding = blocks("Release 42 dropped a column.", clears="Add it back.", instead=Way.HOTFIX)
    body = (await api.get(CHECK)).body
    assert (body["verdict"], body["must_name"], body["allowed_actions"]) == ("block", [], ["plan"])
    assert body["recommended"] == {"way": "hotfix", "because": "Release 42 dropped a column."}
    assert body["findings"][0]["instead"] == "hotfix"


async def test_without_a_way_a_check_is_never_a_pass(world: World, api: Api) -> None:
    world.delivery.offer = None
    body = (await api.get(CHECK)).body
    assert (body["verdict"], body["plan_digest"], body["allowed_actions"]) == ("unknown", None, [])


async def test_a_way_that_is_closed_offers_a_plan_to_read_and_no_rollback(world: World, api: Api) -> None:
    world.delivery.offer = Offer(way=Way.ROLLBACK, steps=(), because="", impossible="An ApplicationSet would undo it.")
    assert (await api.get(CHECK)).body["allowed_actions"] == ["plan"]


async def test_a_delivery_system_that_does_not_answer_makes_the_check_unknown_and_not_an_error(world: World, api: Api) -> None:
    world.delivery.absent = Absent("argocd prod did not answer within 15 s", clears="Look at it.")
    got = await api.get(CHECK)
    assert (got.status, got.body["from"], got.body["to"], got.body["plan_digest"]) == (200, None, None, None)
    assert got.body["verdict"] == "unknown"
    assert "argocd prod did not answer" in got.body["says"]


async def test_a_check_while_an_operation_is_alive_offers_no_second_one(world: World, api: Api) -> None:
    alive = await world.begun()
    body = (await api.get(CHECK)).body
    assert (body["operation"], body["allowed_actions"]) == (alive.id, ["plan"])


async def test_a_checks_etag_stays_while_the_answer_stays_and_changes_with_the_finding(world: World, api: Api) -> None:
    first = (await api.get(CHECK)).body
    world.clock.at += timedelta(minutes=1)
    assert (await api.get(CHECK, headers={"If-None-Match": f'W/"other", {first["etag"]}'})).status == 304
    world.finding = passes("The two releases have the same migrations.")
    assert (await api.get(CHECK, headers={"If-None-Match": first["etag"]})).status == 200


STANDING = "/v1/targets/prod:checkout/readiness"


async def stood(world: World, verdict: Verdict = Verdict.BLOCK, *findings: Finding, target: TargetId = CHECKOUT) -> Standing:
    """A standing verdict, with its turn."""
    at = NOW - timedelta(minutes=10)
    one = standing(verdict, *findings, target=target, suspect=None, goal=None, as_of=at, since=at, says="The door is shut.")
    assert await world.standings.keep(*renewed(None, one))
    return one


async def test_a_target_carries_its_standing_verdict_with_its_age(world: World, api: Api) -> None:
    assert (await api.get("/v1/targets/prod:checkout")).body["readiness"] is None
    await stood(world, Verdict.BLOCK, replace(blocks("The door is shut.", clears="Open it."), rule=RULE))
    short = (await api.get("/v1/targets/prod:checkout")).body["readiness"]
    assert short == (await api.get("/v1/targets")).body["targets"][0]["readiness"] == (await api.get(CHECK)).body["readiness"]
    assert (short["verdict"], short["says"], short["rules"], short["age_s"], short["stale"]) == ("block", "The door is shut.", [RULE], 600.0, False)


async def test_promise_1_a_standing_verdict_that_is_too_old_reads_unknown(world: World, api: Api) -> None:
    await stood(world, Verdict.PASS)
    world.clock.at += timedelta(hours=2)
    later = world.token("targets:read")
    short = (await api.get("/v1/targets/prod:checkout", token=later)).body["readiness"]
    assert (short["verdict"], short["stale"], short["rules"]) == ("unknown", True, [])
    assert short["says"] == "the standing verdict is too old to be believed; it was pass"


async def test_the_list_can_be_asked_for_those_that_could_not_go_back(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    await stood(world)
    asked = {word: [one["id"] for one in (await api.get(f"/v1/targets?readiness={word}")).body["targets"]] for word in ("block", "unknown", "pass")}
    assert asked == {"block": ["prod:checkout"], "unknown": ["prod:team-a/orders"], "pass": []}
    refused = await api.get("/v1/targets?readiness=bad")
    assert (refused.status, refused.code) == (400, "invalid_request")


async def test_the_standing_verdict_in_full_tells_how_it_turned(world: World, api: Api) -> None:
    await stood(world, Verdict.BLOCK, replace(blocks("The door is shut.", clears="Open it."), rule=RULE))
    got = await api.get(STANDING)
    assert (got.status, got.body["verdict"], got.body["from"]) == (200, "block", None)
    assert [one["rule"] for one in got.body["findings"]] == [RULE]
    assert [(one["was"], one["verdict"], one["rules"]) for one in got.body["turns"]] == [(None, "block", [RULE])]
    world.clock.at += timedelta(minutes=1)
    assert (await api.get(STANDING, headers={"If-None-Match": got.body["etag"]})).status == 304


async def test_a_target_that_nobody_looked_at_yet_has_no_standing_verdict(api: Api) -> None:
    got = await api.get(STANDING)
    assert (got.status, got.code) == (404, "not_found")
    assert "has no standing verdict yet" in got.body["detail"]
    assert "standing" not in (await api.get("/v1/targets/prod:ghost/readiness")).body["detail"]


async def test_an_unlisted_target_of_a_visible_pattern_cannot_be_checked(api: Api) -> None:
    got = await api.get("/v1/targets/prod:ghost/rollback-check")
    assert (got.status, got.code) == (404, "not_found")


async def test_the_mode_is_the_policys_and_suggest_where_nothing_matches(world: World, api: Api) -> None:
    await world.list_targets(STAGING)
    modes = {one["id"]: one["mode"] for one in (await api.get("/v1/targets")).body["targets"]}
    assert modes == {str(CHECKOUT): "approve", str(STAGING): "suggest"}


async def test_absolute_links_where_the_public_address_is_known(world: World, make_api: MakeApi) -> None:
    world.with_parts(public_url="https://backout.example/")
    api = await make_api()
    got = await api.get("/v1/targets/prod:checkout")
    assert got.body["links"]["self"] == "https://backout.example/v1/targets/prod:checkout"


# --- what it was built from -----------------------------------------------------------------------------------------------


async def test_what_nobody_can_tell_of_the_live_releases_source_is_said_and_lists_no_image(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT)
    got = await api.get("/v1/targets/prod:checkout/sources")
    assert (got.status, got.body["release"]["release"], got.body["complete"], got.body["images"]) == (200, "42", False, [])
    assert "no source is configured" in got.body["why"]
    world.delivery.absent = Absent("Argo CD did not answer")
    gone = await api.get("/v1/targets/prod:checkout/sources")
    assert (gone.body["release"], gone.body["why"]) == (None, "what is live is not known: Argo CD did not answer")
    assert (await api.get("/v1/targets/prod:ghost/sources")).status == 404
