"""What an answer of Gate means: its five shapes of errors (contract 2.2), a failed login in disguise, and a 200 that says nothing.

Gate's messages nest those of its backends, so words are looked for in them and never compared with them.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from integrations.http import Answer
from service.domain.errors import PermanentError, RefusedError, TemporaryError

WORDS_KEPT = 1000
LARGE = 1 << 20
"""Bytes of an answer from which it is read beside the event loop."""
LIMITED = "Rate capacity exceeded"
SHED = "Low priority requests are not currently being accepted"
NO_USER = "X-SPINNAKER-USER header not found"
RATE_WINDOW = timedelta(seconds=10)
"""Gate's shipped window of its rate limiter, for an answer that does not tell when it ends (contract 2.4)."""
LONGEST_PAUSE = timedelta(seconds=60)
"""A longer one comes of a clock that disagrees."""


class GoneError(RefusedError):
    """Gate says that there is no such thing (404)."""


class ServerRefusedError(RefusedError):
    """Gate, or what stands behind it, said no: `status` and its `words`. A refused start leaves a failed run behind all the same (recording 02)."""

    def __init__(self, says: str, *, status: int, words: str) -> None:
        super().__init__(says)
        self.status = status
        self.words = words


class TurnedAwayError(TemporaryError):
    """Gate's own filters turned it away before anything behind them heard of it: nothing happened. `pause` is how long it asked us to wait."""

    def __init__(self, says: str, *, pause: timedelta) -> None:
        super().__init__(says)
        self.pause = pause


class EmptyError(TemporaryError):
    """200 without a body where there should be one: Gate swallowed what its backend said, a right we do not have included (recordings 09f, 21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One good answer: its body as JSON (None when there was none), what was asked, and Gate's clock when it told."""

    body: Any
    what: str
    digest: str
    server_time: datetime | None


async def judge(answer: Answer, what: str, *, now: datetime, may_be_empty: bool = False) -> Reply:
    """The answer as a Reply, or the error that it stands for. `may_be_empty`: nothing is what this call answers when all is well."""
    media = answer.headers.get("content-type", "").partition(";")[0].strip()
    if 300 <= answer.status < 400:  # noqa: PLR2004  redirections
        raise PermanentError(f"{what}: Gate answered {answer.status}, which is its way to the login page: our credential is missing, wrong or expired")
    if media == "text/html" and answer.status in {429, *range(500, 600)}:
        raise TemporaryError(f"{what}: a proxy before Gate answered {answer.status}")
    if media == "text/html":
        raise PermanentError(f"{what}: Gate answered {answer.status} with a web page: that is a login page, or no Gate")
    if answer.status >= 400:  # noqa: PLR2004  errors
        raise _error(answer, what, now)
    digest = "sha256:" + hashlib.sha256(answer.body).hexdigest()
    if not answer.body.strip():
        if may_be_empty:
            return Reply(body=None, what=what, digest=digest, server_time=_server_time(answer))
        raise EmptyError(f"{what}: Gate answered {answer.status} without a body, which is how it hides trouble behind it, or a right that we do not have")
    if not (media == "application/json" or media.endswith("+json")):
        raise PermanentError(f"{what}: Gate answered {media or 'no content type'} instead of JSON; is this Gate?")
    body = await asyncio.to_thread(answer.json) if len(answer.body) > LARGE else answer.json()
    return Reply(body=body, what=what, digest=digest, server_time=_server_time(answer))


def words_of(answer: Answer) -> str:
    """What an error says, from whichever of the five shapes it has; never more than some lines."""
    try:
        body = answer.json()
    except PermanentError:
        return answer.first_line()
    if isinstance(body, dict):
        found = next((text for key in ("message", "detail", "error", "title") if isinstance(text := body.get(key), str) and text), "")
        return " ".join(found.split())[:WORDS_KEPT]
    return answer.first_line()


def _error(answer: Answer, what: str, now: datetime) -> TemporaryError | PermanentError | RefusedError:
    words = words_of(answer)
    says = f"{what}: Gate answered {answer.status}: {words}".rstrip(": ")
    from_filter = "json" not in answer.headers.get("content-type", "")  # shape D: Gate's own filter, before anything else; it names no type (recording 10b)
    match answer.status:
        case 401:
            return PermanentError(f"{says}; the API token is unknown, expired or revoked")
        case 403 if words == "Access Denied":
            return PermanentError(f"{says}; Gate saw no client certificate that it knows")
        case 404:
            return GoneError(says)
        case 429 if from_filter and LIMITED in words:
            return TurnedAwayError(says, pause=pause_of(answer, now))
        case 503 if from_filter and SHED in words:
            return TurnedAwayError(says, pause=pause_of(answer, now))
        case 500 if NO_USER in words:
            return PermanentError(f"{says}; Gate is in header mode, and no user was sent")
        case 400 | 403 | 405 | 409 | 415 | 422:
            return ServerRefusedError(says, status=answer.status, words=words)
        case _:
            return TemporaryError(says)


def pause_of(answer: Answer, now: datetime) -> timedelta:
    """How long Gate asks us to wait, by its own clock if it tells that. A reset in the past is its known mistake (seconds taken for milliseconds, 1970)."""
    ends = _date(answer.headers.get("retry-after", "")) or _date(answer.headers.get("x-ratelimit-reset", ""))
    begins = _server_time(answer) or now
    if ends is None or ends <= begins:
        return RATE_WINDOW
    return min(ends - begins, LONGEST_PAUSE)


def window_ends(answer: Answer, now: datetime) -> datetime | None:
    """When the window of Gate's limiter ends, by our clock; None when it does not tell, or tells a moment that is over (1970)."""
    ends, theirs = _date(answer.headers.get("x-ratelimit-reset", "")), _server_time(answer) or now
    return now + (ends - theirs) if ends is not None and ends > theirs else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _server_time(answer: Answer) -> datetime | None:
    return _date(answer.headers.get("date", ""))
