"""What several commands ask of the service: documents, ids from their beginnings, pages of events. Answers with another shape are failures, not crashes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.cli.client import Reply, Service, segment
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.render import short, text

Doc = Mapping[str, Any]

_WHOLE: Final = re.compile(r"[a-z]+_[0-9a-f]{32}")
_SHORTEST: Final = 6
_PAGE: Final = 500
"""Rows that a page holds at most."""


def document(service: Service, reply: Reply) -> Doc:
    """The answer's JSON object."""
    if not isinstance(reply.document, Mapping):
        raise CommandFailed(f"the answer of {service.address} is no JSON object", f"is {service.address} Backout? set --server")
    return reply.document


def get(service: Service, path: str, query: Mapping[str, str] | None = None) -> Doc:
    """Read one document."""
    return document(service, service.get(path, query))


def listing(service: Service, path: str, name: str, query: Mapping[str, str], *, most: int | None) -> Doc:
    """A list of at most `most` rows (None = all), page by page: the first page's document with all rows in it, and the last one's `next_cursor`."""
    found: dict[str, Any] = {}
    rows: list[Any] = []
    wanted, seen = {key: value for key, value in query.items() if value}, set[str]()
    while most is None or len(rows) < most:
        size = _PAGE if most is None else min(_PAGE, most - len(rows))
        one = get(service, path, {**wanted, "limit": str(size)})
        rows += one.get(name) or ()
        found = {**one, **found, "next_cursor": one.get("next_cursor")}
        cursor = one.get("next_cursor")
        if not cursor or cursor in seen:  # one that comes again would lead round in a circle
            break
        seen.add(str(cursor))
        wanted["cursor"] = str(cursor)
    return {**found, name: rows}


def operation_id(service: Service, given: str) -> str:
    """The operation's whole id from its beginning, or from that of its trace or incident, of six signs at least."""
    if _WHOLE.fullmatch(given) and given.startswith("op_"):
        return given
    if len(given) < _SHORTEST:
        raise CommandFailed(f"{given!r} is too short for an operation", f"give at least {_SHORTEST} signs; `backout operations` lists them", ExitCode.USAGE)
    found = _ids(get(service, "/v1/operations", {"prefix": given}).get("operations"))
    return _only(found, given, "operation", "backout operations")


def hold_id(service: Service, given: str) -> str:
    """The hold's whole id from its beginning, among the open ones."""
    if _WHOLE.fullmatch(given):
        return given
    found = [one for one in _ids(listing(service, "/v1/holds", "holds", {"state": "open"}, most=None).get("holds")) if one.startswith(given)]
    return _only(found, given, "open hold", "backout holds")


def incident_id(service: Service, given: str) -> str:
    """The incident's whole id from its beginning, among the newest ones."""
    if _WHOLE.fullmatch(given) and given.startswith("inc_"):
        return given
    found = [one for one in _ids(listing(service, "/v1/incidents", "incidents", {}, most=_PAGE).get("incidents")) if one.startswith(given)]
    return _only(found, given, "incident", "backout incidents")


def target_id(given: str) -> str:
    """The target as one path segment of a URL."""
    instance, colon, name = given.partition(":")
    if not (instance and colon and name):
        raise CommandFailed(f"{given!r} is no target: expected <instance>:<name>, for example prod:checkout", "`backout targets` lists them", ExitCode.USAGE)
    return segment(given)


def names(given: Sequence[str] | None) -> list[str]:
    """Values of an option that may be repeated and may hold several, separated by commas."""
    return list(dict.fromkeys(part.strip() for value in given or () for part in value.split(",") if part.strip()))


def _ids(listed: Any) -> list[str]:
    return [str(one["id"]) for one in listed or () if isinstance(one, Mapping) and one.get("id")]


def _only(found: Sequence[str], given: str, what: str, where: str) -> str:
    if not found:
        raise CommandFailed(f"there is no {what} {text(given)}", f"`{where}` lists what there is")
    if len(found) > 1:
        some = ", ".join(short(one) for one in found[:5])
        raise CommandFailed(f"{len(found)} {what}s begin with {text(given)}: {some}", "give the one that you mean", ExitCode.USAGE)
    return found[0]
