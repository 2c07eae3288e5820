"""The small words of all answers: values, ids, times, states. All text of a document is data: it is made harmless, and never read as markup."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from service.cli.terminal import clean

Doc = Mapping[str, Any]

SHORT_ID: Final = 8
"""Signs of an id that are shown behind its kind; as a prefix they find it again."""

STYLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("pass", "good", "ok", "recovered", "Healthy"), "green"),
    **dict.fromkeys(("warn", "waived", "unknown", "inconclusive", "expired", "awaiting approval", "Progressing", "Suspended", "Unknown"), "yellow"),
    **dict.fromkeys(("block", "bad", "no", "not recovered", "failed", "refused", "Degraded", "Missing"), "red"),
}
WORST_FIRST: Final = ("block", "unknown", "warn", "pass")
_HOUR, _DAY = 3600, 86400
_DIGEST: Final = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f])")


def text(value: Any) -> str:
    """A JSON value as text that cannot steer a terminal; null is empty."""
    return "" if value is None else str(clean(str(value)))


def said(value: Any) -> str:
    """A sentence, with the beginning of each digest in it: the document has it whole."""
    return _DIGEST.sub(r"\1", text(value))


def short(identity: Any) -> str:
    """The beginning of an id; enough of it to name it on the command line."""
    kind, line, number = text(identity).rpartition("_")
    return f"{kind}{line}{number[:SHORT_ID]}"


def moment(value: Any) -> datetime | None:
    """The time, or None when there is none or it cannot be read."""
    try:
        read = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return read if read.tzinfo else None


def clock(value: Any) -> str:
    """`14:02:07Z`, or the text as it came."""
    at = moment(value)
    return f"{at:%H:%M:%S}Z" if at else text(value)


def day_and_clock(value: Any) -> str:
    """`2026-05-04 14:02:07Z`, or the text as it came."""
    at = moment(value)
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else text(value)


def span_of(seconds: float, *, whole: bool = True) -> str:
    """A length of time in one unit: `4 s`, `3 min`, `5 h`, `2 d`; rounded unless only `whole` ones count (what is due in 6 d 23 h is due in 7 d)."""
    seconds = abs(seconds)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds / size + (0 if whole else 0.5))} {unit}"
    return f"{int(seconds)} s"


def ago(value: Any, now: datetime) -> str:
    """`4 s ago`, `in 7 d`; the text as it came when it is no time."""
    at = moment(value)
    if at is None:
        return text(value)
    seconds = (now - at).total_seconds()
    return f"{span_of(seconds)} ago" if seconds >= 0 else f"in {span_of(seconds, whole=False)}"


def word(value: Any) -> Text:
    """A state's word, coloured by what it means."""
    said = text(value).replace("_", " ")
    return Text(said, style=STYLES.get(said, ""))


def badness_of_verdict(verdict: str) -> int:
    """Higher is worse; a word that is not known is as bad as unknown."""
    return len(WORST_FIRST) - (WORST_FIRST.index(verdict) if verdict in WORST_FIRST else WORST_FIRST.index("unknown"))


def command(line: str) -> Text:
    """A line with a command to copy, or of a file: never broken."""
    return Text(line, no_wrap=True, overflow="ignore")


def docs_of(value: Any) -> list[Doc]:
    """The objects of a JSON list; nothing of what is none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, Sequence) and not isinstance(value, str) else []


def doc_of(value: Any) -> Doc:
    """A JSON object; an empty one for what is none."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: Any) -> list[Any]:
    """A JSON list; an empty one for what is none."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def joined(parts: Iterable[str], between: str = " · ") -> str:
    """Those that say something, in one line."""
    return between.join(part for part in parts if part)
