"""How the files of `backout init` are written: names, addresses, YAML strings and comments."""

import json
import re
from typing import Final
from urllib.parse import urlsplit

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def quoted(value: str) -> str:
    """A YAML string that is only ever a string."""
    return json.dumps(value, ensure_ascii=False)


def with_comment(line: str, says: str) -> str:
    """The line with its comment, in a column of their own where they fit."""
    return f"{line.ljust(44)}  # {says}"


def is_address(value: str, *, required: bool) -> bool:
    """Whether that is an address of HTTP on one line; "" is one where none is required."""
    if not value:
        return not required
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and value.isprintable() and " " not in value
    except ValueError:
        return False
