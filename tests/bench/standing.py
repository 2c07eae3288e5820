"""What it costs to keep the standing verdict of 10,000 targets: CPU time, requests, and whether every one is fresh within its stated age.

Each target of the crowd answers as one real shop with two good releases does, and has an image of its own in the registry; they share one source repository.
The store is seeded as after some time of watching, with verdicts as old as they are when each is renewed in its turn, and with what was read of each image
then, so what is measured is the steady state. The service's own memory is that of a new process.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from pydantic import TypeAdapter

from service.domain.model import TargetId
from service.domain.readiness import Standing
from service.domain.verdict import Answer
from service.settings import load
from service.store import tables as t
from service.store.database import Database
from service.wiring.parts import kinds
from service.workflow.readiness import RENEW
from tests.bench.crowd import OWN
from tests.bench.figures import Figure
from tests.bench.ground import Ground, Process, ground, seed, until

MANY = 10_000
MODEL = "model"
AGE = timedelta(hours=1)
PER_SECOND, PER_MINUTE = 60, 2400
"""Requests a second to each system, at most, and the registry's own limit: what so many targets need within the default age."""
SETTLING, MEASURED = 15.0, 60.0
SEEDING = {"every": "1s", "beat": "1s"}
DEFAULT = {"every": "10s", "beat": "15s"}

_STANDING = TypeAdapter(Standing)


class Alike(dict[str, Any]):
    """The registry's repositories, where each of the crowd has one that is like the model's."""

    def get(self, key: str, default: Any = None) -> Any:
        """The repository."""
        return super().get(OWN.sub(MODEL, key), default)


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    async with ground(folder, shops=(MODEL,), crowd=0, watch=SEEDING) as made:
        registry: Any = made.world.registry
        registry._repositories = Alike(registry._repositories)  # noqa: SLF001  the sandbox knows no repositories without a push
        await _judged(made)
        await made.process.stop()
        made.crowd.grow(MANY - 1)
        await seed(made, f"sqlite:///{made.folder / 'backout.db'}")
        await _seed(made)
        _settle(made)
        made.process = Process(made.process.config, made.token)
        await made.process.start()
        await asyncio.sleep(SETTLING)
        return await _measured(made)


async def _judged(made: Ground) -> None:
    """The model has a second good release, and a standing verdict about it, which passes."""
    made.crowd.like = MODEL
    await made.world.until_live(MODEL, await made.world.release(MODEL, "v1.0.1"))

    async def judged() -> bool:
        one = _model(made)
        return one is not None and one.answer is Answer.PASS

    await until(judged, 240, "the model's verdict to pass", pause=0.5)


def _model(made: Ground) -> Standing | None:
    store = sqlite3.connect(f"file:{made.folder / 'backout.db'}?mode=ro", uri=True)
    try:
        row = store.execute("select body from readiness where target = ?", (f"sandbox:{MODEL}",)).fetchone()
        return None if row is None else _STANDING.validate_python(json.loads(row[0]))
    finally:
        store.close()


async def _seed(made: Ground) -> None:
    """Every target of the crowd with the model's releases and its verdict, read at some time within the part of its age after which it is renewed."""
    model, database, now = _model(made), Database(f"sqlite:///{made.folder / 'backout.db'}"), made.clock.now()
    if model is None:
        raise RuntimeError("the model has no verdict")
    policies = load(_policy_for_all(made), kinds()).policies
    names = [TargetId("sandbox", str(one["metadata"]["name"])) for one in made.crowd.items()]
    async with database.write() as connection:
        lived = (await connection.execute(sa.select(t.release).where(t.release.c.target == f"sandbox:{MODEL}"))).mappings().all()
        await connection.execute(t.release.delete().where(t.release.c.target.like("sandbox:crowd-%")))
        await connection.execute(t.release.insert(), [_lived(row, name) for name in names for row in lived])
        labels = (await connection.execute(sa.select(t.image_labels))).mappings().all()
        await connection.execute(t.image_labels.insert(), [_labels(row, name) for name in names for row in labels])
        await connection.execute(t.readiness.delete())
        rows = [_row(model, name, now - RENEW * AGE * (number / MANY), policies.of(name).version) for number, name in enumerate(names)]
        await connection.execute(t.readiness.insert(), rows)
    await database.close()


def _lived(row: Mapping[Any, Any], name: TargetId) -> dict[str, Any]:
    """The model's release as one of the target, with its own image."""
    images = json.loads(json.dumps(row["images"]).replace(f"shop/{MODEL}", f"shop/{name.name}"))
    return {**row, "target": str(name), "images": images}


def _labels(row: Mapping[Any, Any], name: TargetId) -> dict[str, Any]:
    """What was read of the model's image as of the target's own."""
    was, now = f"shop/{MODEL}@", f"shop/{name.name}@"
    return {**row, "image": str(row["image"]).replace(was, now), "body": bytes(row["body"]).replace(was.encode(), now.encode())}


def _row(model: Standing, name: TargetId, as_of: datetime, policy: str) -> dict[str, Any]:
    one = replace(model, target=name, as_of=as_of, good_for=AGE, policy=policy)
    body = _STANDING.dump_python(one, mode="json")
    return {"target": str(name), "answer": int(one.answer), "as_of": as_of, "good_for_s": int(AGE.total_seconds()), "policy": policy, "body": body}


def _policy_for_all(made: Ground) -> Path:
    """The model's policy is everybody's."""
    config = made.process.config
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["targets"][0]["match"] = "sandbox:*"
    config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return config


def _settle(made: Ground) -> None:
    config = made.process.config
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["watch"] |= DEFAULT
    document["readiness"] = {"max_age": "1h", "per_second": PER_SECOND}
    document["evidence"]["registry"]["requests_per_minute"] = PER_MINUTE
    config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


async def _measured(made: Ground) -> Sequence[Figure]:
    before, asked = _ages(made), {name: len(spans) for name, spans in _systems(made).items()}
    used = made.process.cpu_seconds
    await asyncio.sleep(MEASURED)
    used = (made.process.cpu_seconds - used) / MEASURED
    after, now = _ages(made), made.clock.now()
    counts = {name: len(spans) - asked[name] for name, spans in _systems(made).items()}
    looks = sum(after[name][0] > as_of for name, (as_of, _) in before.items() if name in after)
    stale = MANY - sum(now - as_of <= AGE for as_of, _ in after.values())
    passed = sum(answer == int(Answer.PASS) for _, answer in after.values())
    each = ", ".join(f"{count / max(looks, 1):.1f} to {name}" for name, count in counts.items())
    sys.stderr.write(f"  {looks} looks, {stale} stale, {passed} pass, {counts}\n")
    needed = MANY / (AGE.total_seconds() * RENEW)
    busiest = max(counts.values()) / MEASURED
    return (
        Figure(
            what=f"readiness of {MANY:,} targets, `max_age: 1h`: CPU of the whole service, watching included",
            asked="< 10 % of a core",
            measured=f"{used:.1%} at {looks / MEASURED:.1f} looks/s ({needed:.1f} are needed)",
            holds=used < 0.1 and looks / MEASURED >= 0.95 * needed,
        ),
        Figure(
            what="the same: targets whose verdict is older than it may be",
            asked="none",
            measured=f"{stale} of {MANY:,}; {passed:,} pass",
            holds=stale == 0,
        ),
        Figure(
            what=f"the same: requests to the system that is asked most, `per_second: {PER_SECOND}`",
            asked=f"≤ {PER_SECOND}/s",
            measured=f"{busiest:.0f}/s; a look asks {each}",
            holds=busiest <= PER_SECOND,
        ),
    )


def _systems(made: Ground) -> dict[str, Sequence[Any]]:
    world = made.world
    return {"Argo CD": made.crowd.asked, "the registry": world.registry.busy, "Git": world.git.busy, "Prometheus": world.prometheus.busy}


def _ages(made: Ground) -> dict[str, tuple[datetime, int]]:
    """When each verdict was read, and what it says."""
    store = sqlite3.connect(f"file:{made.folder / 'backout.db'}?mode=ro", uri=True)
    try:
        rows = store.execute("select target, as_of, answer from readiness").fetchall()
    finally:
        store.close()
    return {target: (t.Utc().process_result_value(as_of, None), answer) for target, as_of, answer in rows}  # type: ignore[arg-type,misc]  # the driver's text
