"""Scene 2: the same alert, but there is no way back."""

from collections.abc import Mapping
from typing import Any

from service.cli.demo.telling import Story, follow
from service.wiring.playground import Playground

MIGRATION = "db/migrations/0042_drop_legacy.sql"


async def play(story: Story, ground: Playground) -> Mapping[str, Any]:
    """Play it; the operation as it ended."""
    story.scene("Scene 2  The same alert, but there is no way back")
    before = await ground.world.call("GET", "/api/v1/applications/orders")
    files = {MIGRATION: "-- v3.1 reads status from order_state\nALTER TABLE orders\n  DROP COLUMN legacy_status;\n"}
    shipped = await ground.world.release("orders", "v3.1.0", errors=0.31, files=files)
    await ground.world.until_live("orders", shipped)
    story.tell("orders", f"release v3.1.0 · {shipped.config[:7]} goes live, with a migration")
    operation = await follow(story, ground, "orders")
    detail = await ground.get(f"/v1/operations/{operation['id']}")
    schema = next(one for one in detail["plan"]["verdict"]["findings"] if one["rule"] == "schema_is_compatible")
    for evidence in schema["evidence"]:
        if MIGRATION in evidence["what"]:
            story.more(f"seen in   {evidence['what']}")
    story.more(f"clears    {schema['clears']}")
    story.more(f"instead   {detail['plan']['verdict']['recommended']['way'].replace('_', ' ')}")
    after = await ground.world.call("GET", "/api/v1/applications/orders")
    check(story, operation, schema, before, after)
    story.more("nothing was touched; the person on call was told why", "bold yellow")
    return operation


def check(story: Story, operation: Mapping[str, Any], schema: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """What has to be so of a refusal: the operation, the schema rule's finding, and the Application before the release and after it all."""
    story.check("scene 2 ended refused", operation["outcome"] == "refused")
    story.check("the schema rule blocked, naming the column", schema["answer"] == "block" and "legacy_status" in schema["says"])
    story.check("the evidence names file and line", any(f"{MIGRATION}:" in one["what"] for one in schema["evidence"]))
    story.check("nothing was touched", after["spec"] == before["spec"] and len(after["status"]["history"]) == len(before["status"]["history"]) + 1)
