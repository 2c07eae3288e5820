"""Takes out of a text what looks like a secret (promise 12): what other people write into annotations, addresses and errors goes into messages and records."""

import re
from collections.abc import Mapping
from typing import Final

from service.domain.model import Json

REMOVED: Final = "[removed]"

# Every repeat is bounded or starts after a fixed word: a long value without secrets must not cost more than one pass.
_SECRETS = re.compile(
    r"""
    -----BEGIN\ [A-Z ]{0,40}PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]{0,40}PRIVATE\ KEY-----|\Z)       # a private key
    | \b(?!ssh://[^\s/?\#@:]+@)[a-z][a-z0-9+.-]{0,20}://[^\s/?\#@]{1,512}@\S*                         # user:password@ in an address; ssh://git@ says nothing
    | \bauthorization["']?\s{0,4}[:=]\s{0,4}["']?(?:[a-z]{1,16}\s{1,4})?\S+                           # a header
    | \bbearer\s{1,4}[\w.~+/=-]{6,}                                                                   # a bearer token
    | \beyJ[\w-]{8,}\.[\w-]{2,}\.[\w-]*                                                               # a JSON web token
    | \b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|AKIA)[\w-]{16,}                             # tokens that say what they are
    | \b(?:password|passwd|secret|token|access_token|api_?key)=[^\s&]{4,}                             # a parameter
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


_SIGNS = (
    *("-----begin", "://", "authorization", "bearer", "eyj"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk-", "akia"),
    *("password=", "passwd=", "secret=", "token=", "apikey=", "api_key="),
)
"""Each kind of secret has one of these in it, in small letters. To look for them costs a tenth of looking for secrets, and most texts have none."""


def clear(text: str) -> tuple[str, int]:
    """The text with each thing that looks like a secret replaced by `[removed]`, and how many there were. What stands around it stays readable."""
    if text.isascii():  # beyond ASCII there are letters that count as others where case does not matter
        low = text.lower()
        if not any(sign in low for sign in _SIGNS):
            return text, 0
    return _SECRETS.subn(REMOVED, text)


def without_secrets(value: Json) -> Json:
    """The same JSON with every text in it cleared; names of fields stay."""
    match value:
        case str():
            return clear(value)[0]
        case Mapping():
            return {name: without_secrets(inner) for name, inner in value.items()}
        case list() | tuple():
            return [without_secrets(inner) for inner in value]
        case _:
            return value
