"""`backout doctor`: looks at each connection and each permission that the service will need; one line each, with the fix."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from integrations import catalogue
from service.api.auth import read_keys
from service.api.senders import read_tokens
from service.domain.errors import BackoutError
from service.domain.own_statements import counted
from service.domain.ports import Checked, Clock
from service.settings import Settings, load
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.holds import HoldStore
from service.store.migrating import HEAD, schema_of
from service.store.records import StopStore
from service.store.targets import TargetStore
from service.wiring.parts import SystemClock, kinds, outside


async def doctor(config: Path) -> list[Checked]:
    """Look at each connection and each permission that the service will need; one line each, with the fix. Changes nothing but one test trace."""
    clock = SystemClock()
    settings = load(config, kinds())
    named = f"{counted(len(settings.delivery), 'delivery instance')}, {counted(len(settings.targets), 'target pattern')}"
    lines = [Checked(what="settings", well="ok", says=f"{config.name}: {named}")]
    lines += await _check_store(settings, clock)
    lines += _check_files(settings)
    try:
        out = outside(settings, clock)
    except BackoutError as error:
        return [*lines, Checked(what="integrations", well="no", says=f"nothing could be built: {error}", fix="Put that right and look again.")]
    try:
        for name, delivery in out.deliveries.items():
            lines += await _checked(f"delivery {name}", delivery)
        if not out.deliveries:
            lines.append(Checked(what="delivery", well="no", says="no delivery system is configured", fix="Add one: `backout help settings delivery`."))
        for name, source in out.sources.items():
            lines += await _checked(name, source)
        lines += [
            Checked(what=kind, well="ok", says=f"not configured: {entry.optional}")
            if entry.optional
            else Checked(what=kind, well="warn", says="not configured: every question that needs it is unknown", fix=f"Add evidence: {kind}.")
            for kind, entry in catalogue.EVIDENCE.items()
            if kind not in out.sources
        ]
        for name, notifier in out.notifiers.items():
            lines += await _checked(f"notify {name}", notifier)
        if not out.notifiers:
            lines.append(
                Checked(
                    what="notify", well="no", says="nobody would be told, so nothing leaves mode observe", fix="Add a notifier: `backout help settings notify`."
                )
            )
        if out.trace is not None:
            lines += await _checked("audit", out.trace)
        else:
            lines.append(Checked(what="audit", well="warn", says="no collector: traces stay in the store", fix="Set audit.otlp."))
    finally:
        await out.close()
    return lines


async def _checked(what: str, one: Any) -> list[Checked]:
    check = getattr(one, "check", None)
    if check is None:
        return [Checked(what=what, well="warn", says="cannot be looked at")]
    try:
        async with asyncio.timeout(60):
            return list(await check())
    except BackoutError as error:
        return [Checked(what=what, well="no", says=str(error), fix="Correct its settings or bring it back.")]
    except TimeoutError:
        return [Checked(what=what, well="no", says="did not answer within 60 s", fix="Look at the connection.")]


async def _check_store(settings: Settings, clock: Clock) -> list[Checked]:
    try:
        database = Database(settings.store)
    except BackoutError as error:
        return [Checked(what="store", well="no", says=str(error), fix="Correct store:.")]
    if database.sqlite and not database.path.exists():
        return _check_new_store(database.path, settings.stop_file)
    kind = "sqlite, WAL" if database.sqlite else "postgresql"
    try:
        schema = await schema_of(database)
        if schema != HEAD:  # nothing is changed from here: an older Backout may be running on it
            says = f"{kind}, {f'schema {schema}' if schema else 'no tables yet'}; the start of this version brings it to schema {HEAD}"
            return [Checked(what="store", well="warn" if schema else "ok", says=says, fix="Take a backup, then start this version." if schema else "")]
        began = clock.now()
        reason = await StopStore(database, settings.stop_file).reason()
        took = (clock.now() - began).total_seconds() * 1000
        last = await AlertStore(database).last_delivery()
        targets = TargetStore(database)
        known = await targets.known()
        holds = HoldStore(database)
        kept = {hold.target: hold for hold in await holds.open()}
        orphans = [mark for mark in await targets.marked() if mark.target not in kept]
        seen = [any(r.images and r.healthy_for > timedelta(0) for r in (await targets.records(one)).values()) for one in known]
    except (BackoutError, OSError) as error:
        return [Checked(what="store", well="no", says=str(error), fix="Make the store's folder writable, or start the database.")]
    finally:
        await database.close()
    lines = [Checked(what="store", well="ok", says=f"{kind}, read in {took:.1f} ms")]
    lines.append(
        Checked(what="stop", well="warn", says=reason, fix="`backout resume` takes it back.") if reason else Checked(what="stop", well="ok", says="not stopped")
    )
    if last is None:
        fix = "Point a receiver at /v1/alerts/alertmanager (docs/alertmanager.md)."
        lines.append(Checked(what="alerts", well="warn", says="no delivery yet", fix=fix))
    else:
        lines.append(Checked(what="alerts", well="ok", says=f"last delivery {int((clock.now() - last[0]).total_seconds())} s ago, {counted(last[1], 'alert')}"))
    for mark in orphans:
        says = f"{mark.target} carries a hold mark that no open hold here explains: {mark.marker[:80]}"
        lines.append(Checked(what="orphaned hold", well="warn", says=says, fix=mark.unmark or "Take the mark off."))
    late = [hold for hold in kept.values() if hold.reviews]
    if late:
        says = f"{len(late)} of {len(kept)} open holds are past their review: {', '.join(str(hold.target) for hold in late[:3])}"
        lines.append(Checked(what="holds", well="warn", says=says, fix="Release a fix, or `backout holds end`."))
    if known and not all(seen):
        says = f"{len(seen) - sum(seen)} of {len(seen)} targets have no release yet that Backout saw healthy: for those going back is unknown"
        lines.append(Checked(what="releases", well="warn", says=says, fix="Let the service run; it is known from the next release on."))
    return lines


def _check_new_store(path: Path, stop_file: Path | None) -> list[Checked]:
    """Before the first start. It is only looked at: made here, the store would belong to whoever runs doctor, and the service could not write it."""
    folder = next(one for one in path.parents if one.exists())
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        lines = [Checked(what="store", well="ok", says=f"{path.name} is not there yet; the first start makes it")]
    else:
        lines = [Checked(what="store", well="no", says=f"{path.name} cannot be made: {folder} is no folder to write into", fix="Make the folder writable.")]
    if stop_file is not None and (stop_file.exists() or not stop_file.parent.is_dir()):
        says = "the stop file is there" if stop_file.exists() else f"the folder of the stop file {stop_file.name} is not there, so nothing is done"
        lines.append(Checked(what="stop", well="warn", says=says, fix="`backout resume` takes it back."))
    return lines


def _check_files(settings: Settings) -> list[Checked]:
    lines = []
    files: list[tuple[str, Path, Callable[[str], object], str]] = [
        ("auth.keys_file", settings.auth.keys_file, read_keys, "Make one: `backout token key --keys FILE`."),
        *((f"alerts sender {one.name}", one.token_file, read_tokens, "Put the sender's token in.") for one in settings.alerts.alertmanager),
    ]
    for what, file, read, fix in files:
        try:
            text = file.read_text(encoding="utf-8")
            open_to_all = file.stat().st_mode & 0o077
            if text.strip():
                read(text)
        except OSError as error:
            lines.append(Checked(what=what, well="no", says=f"{file.name} cannot be read ({error.strerror})", fix=fix))
            continue
        except ValueError as error:
            says = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            lines.append(Checked(what=what, well="no", says=f"{file.name} is of no use: {says}", fix=fix))
            continue
        if not text.strip():
            lines.append(Checked(what=what, well="no", says=f"{file.name} is empty", fix=fix))
        elif open_to_all:
            lines.append(Checked(what=what, well="warn", says=f"{file.name} can be read by others", fix=f"chmod 600 {file.name}"))
        else:
            lines.append(Checked(what=what, well="ok", says=f"{file.name} can be read"))
    if not settings.alerts.alertmanager:
        lines.append(Checked(what="alerts", well="no", says="no sender is configured: nobody may post alerts", fix="Add alerts: alertmanager."))
    return lines
