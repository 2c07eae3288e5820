from service.domain.ports import Capture, Captured, Wanted
from tests.unit.service.api.conftest import Api
from tests.unit.service.api.world import CHECKOUT, NOW, World

ASK = {"target": "prod:checkout", "reason": "errors"}


def manifest(image: str, name: str = "apps/Deployment shop/checkout") -> Captured:
    return Captured(kind="manifest", name=name, text=f"kind: Deployment\nimage: {image}")


async def captured(world: World, api: Api, **moments: Capture) -> str:
    identity = str((await api.post("/v1/operations", ASK)).body["id"])
    for moment, capture in moments.items():
        await world.captures.keep(Wanted(operation_id=identity, target=CHECKOUT, moment=moment), capture, f"captured {moment}", NOW)
    return f"/v1/operations/{identity}/captures"


async def test_both_moments_are_shown_with_the_difference_of_what_changed(world: World, api: Api) -> None:
    log = Captured(kind="log", name="pod checkout-1", text="boom")
    same = manifest("x", "v1/Service shop/checkout")
    before = Capture(items=(manifest("bad"), same, log), missing=("log of pod checkout-2: gone",))
    got = await api.get(await captured(world, api, before=before, after=Capture(items=(manifest("good"), same))))
    assert got.status == 200
    assert [(one["moment"], one["says"], len(one["items"])) for one in got.body["captures"]] == [
        ("before", "captured before", 3),
        ("after", "captured after", 2),
    ]
    assert got.body["captures"][0]["missing"] == ["log of pod checkout-2: gone"]
    (difference,) = got.body["differences"]
    assert difference["name"] == "apps/Deployment shop/checkout"
    assert "-image: bad" in difference["diff"]
    assert "+image: good" in difference["diff"]
    assert "text" not in got.body["captures"][0]["items"][0]


async def test_the_texts_are_shown_when_asked_for(world: World, api: Api) -> None:
    where = await captured(world, api, before=Capture(items=(Captured(kind="log", name="pod a", text="boom"),)))
    got = await api.get(f"{where}?texts=true")
    assert [item["text"] for item in got.body["captures"][0]["items"]] == ["boom"]
    assert (await api.get(f"{where}?texts=all")).code == "invalid_request"


async def test_an_object_that_went_away_is_a_difference(world: World, api: Api) -> None:
    got = await api.get(await captured(world, api, before=Capture(items=(manifest("bad"),)), after=Capture()))
    assert "-image: bad" in got.body["differences"][0]["diff"]


async def test_nothing_captured_is_an_empty_list(world: World, api: Api) -> None:
    got = await api.get(await captured(world, api))
    assert (got.body["captures"], got.body["differences"]) == ([], [])


async def test_captures_of_an_operation_that_is_not_there_are_not_found(api: Api) -> None:
    assert (await api.get("/v1/operations/op_0/captures")).status == 404
