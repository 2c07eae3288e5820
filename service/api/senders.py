"""Who may deliver alerts: bearer credentials from rotating files, one file a sender. They open the intake and nothing else."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import structlog

from service.api.rereading import Rereading
from service.domain.errors import SettingsError

AT_ONCE = 2
"""Valid credentials of one sender: the old one and the new one while they rotate."""

_log = structlog.get_logger(__name__)


class Senders(Protocol):
    """Tells which sender a credential belongs to, None when to nobody."""

    def who(self, token: str) -> str | None: ...  # noqa: D102


class SenderFiles:
    """Sender name -> its token file, with one or two tokens, one a line. Files are read again when they changed.

    SettingsError at start for a file that cannot be read, holds no token or more than two, or shares one with another sender. Later such a file lets
    nobody in, which is logged once, until it is well again.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = {name: Rereading(path, read_tokens) for name, path in files.items()}
        self._trouble: dict[str, str] = {}
        owners: dict[bytes, str] = {}
        for name, file in self._files.items():
            try:
                digests = file.now()
            except (OSError, ValueError) as error:
                raise SettingsError(f"token_file of the alert sender {name}: {_reason(error)}") from error
            for digest in digests:
                if owners.setdefault(digest, name) != name:
                    raise SettingsError(f"the alert senders {owners[digest]} and {name} share a token; a credential speaks for one sender only")

    def who(self, token: str) -> str | None:
        """The one sender with that token. Every token is compared, each in constant time; one that two senders share belongs to nobody."""
        if not token:
            return None
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = [name for name in self._files for mine in self._digests(name) if hmac.compare_digest(mine, digest)]
        return found[0] if len(found) == 1 else None

    def _digests(self, name: str) -> tuple[bytes, ...]:
        try:
            digests = self._files[name].now()
        except (OSError, ValueError) as error:
            reason = _reason(error)
            if self._trouble.get(name) != reason:
                self._trouble[name] = reason
                _log.warning("the credentials of an alert sender cannot be read; it is let in no more", sender=name, reason=reason)
            return ()
        self._trouble.pop(name, None)
        return digests


def read_tokens(text: str) -> tuple[bytes, ...]:
    """The digests of the tokens in a file's text; raises ValueError when there is none, or more than two."""
    tokens = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not 1 <= len(tokens) <= AT_ONCE:
        raise ValueError(f"expected one or two tokens, one a line, and found {len(tokens)}")
    return tuple(sha256(token.encode()).digest() for token in tokens)


def _reason(error: Exception) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
