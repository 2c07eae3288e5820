"""Scene 2: the same alert, but there is no way back: the three lines of evidence, and which shops could not go back without any alert.

No database is started for the demo, so that it needs nothing but Python. The line of the live catalogue then says unknown, as it would for any target whose
database nobody declared; the text alone is enough for a no, and would not be for a yes.
"""

from collections.abc import Mapping
from typing import Any

from service.cli import render
from service.cli.demo.telling import Story, follow, shop_of
from service.wiring.playground import Playground

MIGRATION = "db/migrations/0042_drop_legacy.sql"


async def play(story: Story, ground: Playground) -> Mapping[str, Any]:
    """Play it; the operation as it ended."""
    story.scene("Scene 2  The same alert, but there is no way back")
    fine = await ground.world.release("catalog", "v1.9.0")
    await ground.world.until_live("catalog", fine)
    before = ground.world.side_of("orders").writes()
    files = {MIGRATION: "-- v3.1 reads status from order_state\nALTER TABLE orders\n  DROP COLUMN legacy_status;\n"}
    shipped = await ground.world.release("orders", "v3.1.0", errors=0.31, files=files, labels={"backout.dev/phase": "contract"})
    await ground.world.until_live("orders", shipped)
    story.tell("orders", f"release {ground.world.called(shipped)} goes live, with a migration")
    operation = await follow(story, ground, "orders")
    detail = await ground.get(f"/v1/operations/{operation['id']}")
    schema = next(one for one in detail["plan"]["verdict"]["findings"] if one["rule"] == "schema_is_compatible")
    for source, says in lines(schema):
        story.more(says, about=source)
    story.more(schema["clears"], about="clears")
    story.more(detail["plan"]["verdict"]["recommended"]["way"].replace("_", " "), about="instead")
    writes, live = ground.world.side_of("orders").writes() - before, await ground.world.live("orders")
    check(story, operation, schema, writes=writes, untouched=live == {shipped.digest})
    story.more("nothing was touched; the person on call was told why", "bold yellow")
    story.waits("each shop is looked at")
    listed = await ground.until(lambda: _looked_at(ground), 180, "a standing verdict of every shop")
    story.tell("readiness", "which shops could go back right now, alert or not, as `backout check --all` shows it:")
    story.show(render.standings(listed, story.clock.now(), everything=True))
    check_standing(story, listed)
    return operation


def check_standing(story: Story, listed: Mapping[str, Any]) -> None:
    """What has to be so of the list of targets with their standing verdicts."""
    standing = {shop_of(one["id"]): one["readiness"] or {} for one in listed["targets"]}
    orders = standing.get("orders", {})
    story.check("it is known without any alert that orders cannot go back", orders.get("verdict") == "block" and "legacy_status" in orders["says"])
    story.check("and that catalog could", standing.get("catalog", {}).get("verdict") == "pass")
    story.check("each shop has a standing verdict", all(standing.values()))


def lines(schema: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The lines of evidence behind the schema rule's answer, each with what it says by itself; one that nobody could read says so."""
    return tuple((one["source"], f"{one['answer']}: {one['says']}") for one in schema["lines"])


async def _looked_at(ground: Playground) -> Mapping[str, Any] | None:
    """The list of targets, once each has a standing verdict, and those of orders and catalog are about the releases that went live last."""
    listed: Mapping[str, Any] = await ground.get("/v1/targets")
    standing = {shop_of(one["id"]): one.get("readiness") or {} for one in listed["targets"]}
    catalog, orders = standing.get("catalog", {}), standing.get("orders", {})
    last = catalog.get("verdict") == "pass" and "legacy_status" in str(orders.get("says"))
    return listed if last and all(standing.values()) else None


def check(story: Story, operation: Mapping[str, Any], schema: Mapping[str, Any], *, writes: int, untouched: bool) -> None:
    """What has to be so of a refusal: the operation, the schema rule's finding, what the delivery system was sent meanwhile, and what the pods run."""
    story.check("scene 2 ended refused", operation["outcome"] == "refused")
    story.check("the schema rule blocked, naming the column", schema["answer"] == "block" and "legacy_status" in schema["says"])
    story.check("the evidence names file and line", any(f"{MIGRATION}:" in one["what"] for one in schema["evidence"]))
    story.check("nothing was touched", writes == 0 and untouched)
