import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.sandbox.world import World
from service.domain.errors import SettingsError, TemporaryError
from service.domain.model import ReleaseRecord, TargetId
from service.domain.ports import Checked, ListedTarget, Listing
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.migrating import migrate, schema_of
from service.store.records import StopStore
from service.store.targets import TargetStore
from service.wiring.checking import _checked, doctor
from service.wiring.parts import SystemClock
from tests.fakes import store
from tests.unit.service.wiring.conftest import private

LISTEN = "127.0.0.1:8080"
CHECKOUT = TargetId("sandbox", "checkout")


async def look(world: World, **extra: Any) -> list[Checked]:
    """What doctor finds in the world; whatever it finds, no secret is in it and every `no` comes with a fix."""
    secrets = [line for name in ("alert-token", "notify-token", "argocd-token") for line in _lines(world.folder / name)]
    secrets += [line for line in re.split(r"\\n", (world.folder / "keys.json").read_text(encoding="utf-8")) if len(line) > 30]
    assert len(secrets) > 4
    lines = await doctor(world.settings(listen=LISTEN, extra=extra))
    told = "\n".join(f"{line.what} {line.says} {line.fix}" for line in lines)
    assert [secret for secret in secrets if secret in told] == []
    assert [line for line in lines if line.well == "no" and not line.fix] == []
    assert {line.well for line in lines} <= {"ok", "warn", "no"}
    return lines


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split()


def bad(lines: list[Checked]) -> dict[str, str]:
    return {line.what: line.says for line in lines if line.well == "no"}


def about(lines: list[Checked], what: str) -> list[Checked]:
    return [line for line in lines if line.what.startswith(what)]


def database_of(world: World) -> Database:
    return Database(f"sqlite:///{world.folder / 'backout.db'}")


# --- all well ------------------------------------------------------------------------------------------------------------


async def test_a_world_in_which_all_is_well_has_a_line_for_each_part_and_no_trouble(world: World) -> None:
    lines = await look(world)
    assert bad(lines) == {}
    for what in ("settings", "store", "auth.keys_file", "alerts sender main", "argocd sandbox", "prometheus", "registry", "git", "notifications", "trace"):
        assert about(lines, what), what
    says = next(line.says for line in lines if line.what == "settings")
    assert re.fullmatch(r"\S+\.yaml: 1 delivery instance, [2-9] target patterns|\S+\.yaml: 1 delivery instance, 1 target pattern", says)


async def test_nothing_is_changed_but_for_one_test_trace(world: World) -> None:
    config = world.settings(listen=LISTEN)
    before = {file: file.read_bytes() for file in world.folder.iterdir() if file.is_file()}
    application = await world.call("GET", "/api/v1/applications/checkout")
    await doctor(config)
    assert {file: file.read_bytes() for file in world.folder.iterdir() if file.is_file()} == before
    assert (await world.call("GET", "/api/v1/applications/checkout"))["spec"] == application["spec"]
    assert world.sink.received == ()
    spans = [span for trace in world.collector.traces() for span in world.collector.spans(trace)]
    assert [span.resource["service.name"] for span in spans] == ["backout-doctor"]


async def test_wrong_settings_are_told_with_file_and_line(world: World) -> None:
    with pytest.raises(SettingsError, match=r"backout\.yaml:\d+: lissten: unknown setting\. Did you mean listen\?"):
        await look(world, lissten="127.0.0.1:1")


# --- one part is away ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("argocd", "argocd sandbox"),
        ("prometheus", "prometheus"),
        ("registry", "registry"),
        ("git", "git"),
        ("sink", "notifications"),
        ("collector", "trace collector"),
    ],
)
async def test_a_part_that_is_away_is_told_and_the_others_are_looked_at_all_the_same(world: World, part: str, what: str) -> None:
    well = {line.what for line in await look(world) if line.well == "ok"}
    await getattr(world, part).stop()
    lines = await look(world)
    trouble = bad(lines)
    assert [name for name in trouble if not name.startswith(what)] == []
    assert trouble
    assert {name for name in well if not name.startswith(what)} <= {line.what for line in lines if line.well == "ok"}


async def test_a_token_that_argo_cd_does_not_take_is_told(world: World) -> None:
    private(world.folder / "argocd-token", "not-the-right-one")
    trouble = bad(await look(world))
    assert trouble
    assert all(name.startswith("argocd sandbox") for name in trouble)
    assert "token" in " ".join(trouble.values())


async def test_a_right_that_is_missing_is_told_with_the_line_to_add(world: World) -> None:
    token = world.argocd.add_account("reader", ["p, reader, applications, get, */*, allow", "p, reader, projects, get, *, allow"])
    private(world.folder / "argocd-token", token)
    lines = [line for line in await look(world) if line.well == "no"]
    assert {line.says for line in lines} == {"may not roll back on default/*", "may not stop auto-sync on default/*"}
    assert all("p, reader, applications, " in line.fix for line in lines)


# --- nobody is configured ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "what", "says"),
    [
        ({"notify": []}, "notify", "nobody would be told"),
        ({"alerts": {}}, "alerts", "nobody may post alerts"),
        ({"delivery": []}, "delivery", "no delivery system is configured"),
    ],
)
async def test_what_nothing_works_without_is_a_no(world: World, extra: dict[str, Any], what: str, says: str) -> None:
    trouble = bad(await look(world, **extra))
    assert trouble.keys() == {what}
    assert says in trouble[what]


async def test_what_is_missed_but_not_needed_is_a_warning(world: World) -> None:
    lines = await look(world, evidence={}, audit={})
    assert bad(lines) == {}
    warned = {line.what for line in lines if line.well == "warn"}
    assert warned >= {"git", "prometheus", "registry", "audit"}


# --- files with secrets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b" \n", b"\xff\xfe\x00", None], ids=["empty", "blank", "binary", "missing"])
@pytest.mark.parametrize(
    ("file", "what"),
    [("keys.json", "auth.keys_file"), ("alert-token", "alerts sender main"), ("argocd-token", "argocd sandbox"), ("notify-token", "notifications")],
)
async def test_a_secret_that_cannot_be_used_is_told_and_its_file_is_named(world: World, file: str, what: str, body: bytes | None) -> None:
    config = world.settings(listen=LISTEN)
    if body is None:
        (world.folder / file).unlink()
    else:
        (world.folder / file).write_bytes(body)
    trouble = bad(await doctor(config))
    assert {name.startswith(what) for name in trouble} == {True}
    assert all(file in says for says in trouble.values())


@pytest.mark.parametrize("body", ["{}", '{"keys": []}', '{"keys": [{"kid": "a", "alg": "EdDSA", "public": "PRIVATE-THING"}]}', "not json"])
async def test_a_keys_file_that_lets_nobody_in_is_told_and_not_shown(world: World, body: str) -> None:
    private(world.folder / "keys.json", body)
    (line,) = [line for line in await doctor(world.settings(listen=LISTEN)) if line.well == "no"]
    assert line.what == "auth.keys_file"
    assert "backout token key" in line.fix
    assert "PRIVATE-THING" not in line.says


async def test_three_tokens_of_one_sender_are_one_too_many(world: World) -> None:
    private(world.folder / "alert-token", "first-token-1\nsecond-token-2\nthird-token-3\n")
    trouble = bad(await look(world))
    assert trouble.keys() == {"alerts sender main"}
    assert "found 3" in trouble["alerts sender main"]


@pytest.mark.parametrize(("file", "what"), [("keys.json", "auth.keys_file"), ("alert-token", "alerts sender main")])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
async def test_a_secret_that_others_can_read_is_a_warning_with_the_command(world: World, file: str, what: str, mode: int) -> None:
    (world.folder / file).chmod(mode)
    (line,) = about(await look(world), what)
    assert (line.well, line.fix) == ("warn", f"chmod 600 {file}")


async def test_a_notifier_whose_address_cannot_be_read_does_not_hide_the_rest(world: World) -> None:
    lines = await look(world, notify=[{"kind": "webhook", "name": "chat", "url_file": "nowhere"}])
    assert bad(lines) == {"integrations": "nothing could be built: the credential file nowhere cannot be read (No such file or directory)"}
    assert about(lines, "store")


# --- the store -----------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_not_there_yet_is_well_and_is_not_made(world: World) -> None:
    lines = await look(world, store=f"sqlite:///{world.folder / 'deep' / 'er' / 'new.db'}")
    (line,) = about(lines, "store")
    assert (line.well, line.says) == ("ok", "new.db is not there yet; the first start makes it")
    assert not (world.folder / "deep").exists()


async def test_a_folder_that_cannot_be_written_is_told(world: World) -> None:
    (world.folder / "file").write_text("", encoding="utf-8")
    trouble = bad(await look(world, store=f"sqlite:///{world.folder / 'file' / 'backout.db'}"))
    assert trouble.keys() == {"store"}
    assert "is no folder to write into" in trouble["store"]


async def test_a_file_that_is_no_store_is_told(world: World) -> None:
    (world.folder / "backout.db").write_text("this is no database, and it is long enough to be looked at" * 100, encoding="utf-8")
    assert bad(await look(world)).keys() == {"store"}


async def test_a_store_of_another_kind_is_told(world: World) -> None:
    trouble = bad(await look(world, store="mysql://127.0.0.1/backout"))
    assert trouble.keys() == {"store"}
    assert "postgresql://" in trouble["store"]


async def test_a_store_in_use_is_read_with_what_was_heard_last(world: World) -> None:
    database = database_of(world)
    await migrate(database)
    await AlertStore(database).accept(store.delivery(store.notice(), at=SystemClock().now() - timedelta(seconds=90)))
    lines = await look(world)
    (line,) = about(lines, "store")
    assert (line.well, line.says.split(",")[0]) == ("ok", "sqlite")
    heard = next(line for line in lines if line.what == "alerts")
    assert (heard.well, re.sub(r"\d+ s", "N s", heard.says)) == ("ok", "last delivery N s ago, 1 alert")
    await store.closed(database)


async def test_a_store_that_heard_nothing_yet_warns(world: World) -> None:
    database = database_of(world)
    await migrate(database)
    await store.closed(database)
    assert ("alerts", "warn", "no delivery yet") in {(line.what, line.well, line.says) for line in await look(world)}


async def test_a_target_of_which_no_healthy_release_is_known_warns_until_one_is(world: World) -> None:
    database, now = database_of(world), SystemClock().now()
    await migrate(database)
    targets = TargetStore(database)
    listed = ListedTarget(target=CHECKOUT, project="default", namespace="checkout", health="Healthy", desired_revision="a", stamp="1", objects=())
    await targets.remember(Listing(targets=(listed,), complete=True), "sandbox", now)
    (line,) = about(await look(world), "releases")
    assert (line.well, line.says.partition(":")[0]) == ("warn", "1 of 1 targets have no release yet that Backout saw healthy")
    image = store_image()
    seen = ReleaseRecord(
        target=CHECKOUT, key="k", handle="0", version="v1", images=(image,), watched_from=now, watched_until=now, healthy_for=timedelta(hours=1),
        last_health="Healthy", live_until=None,
    )  # fmt: skip
    await targets.remember_state_record(seen)
    assert about(await look(world), "releases") == []
    await store.closed(database)


def store_image() -> Any:
    from service.domain.model import Image  # noqa: PLC0415  only here

    return Image(reference="r/checkout:v1", digest="sha256:" + "1" * 64, proof="pods")


# --- the stop switch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [False, True], ids=["before the first start", "with a store"])
async def test_a_stop_file_is_told_with_the_way_to_take_it_back(world: World, exists: bool) -> None:
    if exists:
        database = database_of(world)
        await migrate(database)
        await store.closed(database)
    (world.folder / "STOP").write_text("maintenance", encoding="utf-8")
    (line,) = about(await look(world), "stop")
    assert (line.well, line.fix) == ("warn", "`backout resume` takes it back.")
    assert line.says.startswith("the stop file is there")


@pytest.mark.parametrize("exists", [False, True], ids=["before the first start", "with a store"])
async def test_a_stop_file_whose_folder_is_not_mounted_counts_as_stopped(world: World, exists: bool) -> None:
    if exists:
        database = database_of(world)
        await migrate(database)
        await store.closed(database)
    (line,) = about(await look(world, stop_file=str(world.folder / "mount" / "STOP")), "stop")
    assert (line.well, line.says) == ("warn", "the folder of the stop file STOP is not there, so nothing is done")


async def test_a_stop_by_a_person_is_told_with_name_and_reason(world: World) -> None:
    database = database_of(world)
    await migrate(database)
    await StopStore(database, None).stop(by="alice", reason="looking into it", at=SystemClock().now())
    (line,) = about(await look(world), "stop")
    assert (line.well, line.says) == ("warn", "stopped by alice: looking into it")
    await store.closed(database)


# --- one connection ------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_looked_at_is_a_warning() -> None:
    assert await _checked("thing", object()) == [Checked(what="thing", well="warn", says="cannot be looked at")]


@pytest.mark.parametrize(("trouble", "says"), [(TemporaryError("it is away"), "it is away"), (TimeoutError(), "did not answer within 60 s")])
async def test_a_look_that_fails_is_a_line(trouble: Exception, says: str) -> None:
    class Failing:
        async def check(self) -> list[Checked]:
            raise trouble

    (line,) = await _checked("thing", Failing())
    assert (line.what, line.well, line.says) == ("thing", "no", says)
    assert line.fix


async def test_a_service_that_speaks_to_nobody_gets_every_line_at_once(alone: Callable[..., Path]) -> None:
    lines = await doctor(alone())
    assert bad(lines).keys() == {"alerts", "delivery", "notify"}
    assert json.dumps([line.says for line in lines])


async def test_doctor_changes_nothing_in_a_store_of_an_older_version_that_may_be_running(alone: Callable[..., Path], tmp_path: Path) -> None:
    file = alone()
    path = tmp_path / "backout.db"
    database = Database(f"sqlite:///{path}")
    await migrate(database)
    async with database.write() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    await store.closed(database)
    (line,) = [one for one in await doctor(file) if one.what == "store"]
    assert (line.well, "schema 0001" in line.says, "Take a backup" in line.fix) == ("warn", True, True)
    again = Database(f"sqlite:///{path}")
    assert await schema_of(again) == "0001"
    await store.closed(again)
