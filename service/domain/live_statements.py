"""What a release's own statements, prepared again on today's schema, say of going back to it.

They show what no catalogue shows: that the code uses something. One that can no longer be prepared is a no. That all can be is never a yes by itself, for what
was not seen to run is not judged; it is a reason to ask a person where the catalogue misses something which none of them uses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.domain import keys
from service.domain.catalog import Catalog
from service.domain.derived import doubt, listed, span
from service.domain.facts import Absent, Evidence, Key, Known
from service.domain.model import Release, Way
from service.domain.own_statements import Judged, OwnStatements, counted, judged, proves_unused
from service.domain.rule import Case
from service.domain.verdict import Finding, blocks, unknown

SHOWN = 2
"""Statements told in a sentence."""
HOTFIX = "ship a hotfix"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatements:
    """What one database says of them. `number` is how many are kept, 0 where nobody counted.

    `unused`: they are many and old enough to doubt that the release uses what is gone. `says` tells how many and since when, for a sentence.
    """

    number: int = 0
    findings: tuple[Finding, ...] = ()
    unseen: tuple[Finding, ...] = ()
    unused: bool = False
    says: str = ""
    evidence: tuple[Evidence, ...] = ()


def statement_keys(case: Case, older: Release, database: str) -> Iterator[Key[Any]]:
    """The facts that `live_statements` reads. Where the schema is to the letter what it was, nothing is prepared again."""
    kept_key = keys.statements_then(case.target, older.key, database)
    yield kept_key
    kept = case.facts.read(kept_key)
    now, then = case.facts.read(keys.catalog(database)), case.facts.read(keys.catalog_then(case.target, older.key, database))
    if isinstance(kept, Known) and kept.value.statements and isinstance(now, Known) and not now.value.busy and not _the_same(now, then):
        yield keys.prepared(database, now.value.digest, kept.value.texts)


def live_statements(case: Case, name: str, now: Known[Catalog], newer: Release, older: Release) -> LiveStatements:
    """The statements of the older release on that database, whose catalogue now is known and not being changed."""
    kept = case.facts.read(keys.statements_then(case.target, older.key, name))
    if isinstance(kept, Absent) or not kept.value.statements:
        return LiveStatements()
    number = len(kept.value.statements)
    watched = f"watched for {span(kept.value.watched)} since {kept.value.since:%Y-%m-%d %H:%M} UTC"
    says = f"the {kept.value.texts} that release {older.name} was seen to run ({watched}"
    if _the_same(now, case.facts.read(keys.catalog_then(case.target, older.key, name))):
        return LiveStatements(number=number, says=f"{says})", evidence=(kept.evidence,))
    fact = case.facts.read(keys.prepared(name, now.value.digest, kept.value.texts))
    if isinstance(fact, Absent):
        says = f"Whether the statements that release {older.name} ran in database {name} can still be prepared is unknown"
        clears = "Let Backout's role connect to that database's primary."
        return LiveStatements(number=number, unseen=(doubt(says, fact, kept.evidence, clears=clears),))
    found = judged(kept.value, fact.value)
    proof = (fact.evidence, kept.evidence)
    return LiveStatements(
        number=number,
        findings=tuple(_broken(found, name, number, proof, newer, older)),
        unseen=tuple(_doubtful(found, name, number, proof, older)),
        unused=proves_unused(kept.value, found),
        says=f"{says}{_not_judged(kept.value, found)})",
        evidence=proof,
    )


def _the_same(now: Known[Catalog], then: Known[Catalog] | Absent) -> bool:
    return isinstance(then, Known) and then.value.digest == now.value.digest


def _broken(found: Judged, name: str, number: int, proof: tuple[Evidence, ...], newer: Release, older: Release) -> Iterator[Finding]:
    if not found.broken:
        return
    says = f"In database {name} {len(found.broken)} of {counted(number, 'statement')} that release {older.name} ran cannot be prepared any more: "
    clears = f"Bring back what they use. Else {HOTFIX} on {newer.name}."
    yield blocks(f"{says}{_several(found.broken)}.", *proof, clears=clears, instead=Way.HOTFIX, overridable=True)


def _doubtful(found: Judged, name: str, number: int, proof: tuple[Evidence, ...], older: Release) -> Iterator[Finding]:
    if not found.doubtful:
        return
    says = (
        f"Whether {len(found.doubtful)} of {counted(number, 'statement')} that release {older.name} ran in database {name} still can be prepared is unknown: "
    )
    yield unknown(f"{says}{_several(found.doubtful)}.", *proof, clears="Ask again when nobody changes the schema; a person looks at what stays.")


def _several(texts: tuple[str, ...]) -> str:
    return listed(texts, limit=SHOWN)


def _not_judged(kept: OwnStatements, found: Judged) -> str:
    """What nobody can judge, behind a semicolon: those whose text could not be kept, and those that could not be prepared even then."""
    mute, never = len(kept.left_out), found.never
    parts = [f"{mute} more could not be kept" if mute else "", f"{never} of them could never be prepared" if never else ""]
    return "".join(f"; {part}" for part in parts if part)
