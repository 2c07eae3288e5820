"""Who else writes an application's spec, and what they do about a change of ours: known before the first write (promise 7). Pure, one owner a file."""

from collections.abc import Iterable
from dataclasses import replace

from service.domain.keys import Owner

NOBODY = Owner(kind="nobody")


def together(found: Iterable[Owner]) -> Owner:
    """All owners as one value, the one that harms most first; those of equal harm in the order in which they were found."""
    ordered = sorted(found, key=lambda one: (not one.reverts, not one.later, not one.reverts_pin))
    return replace(ordered[0], others=tuple(ordered[1:])) if ordered else NOBODY
