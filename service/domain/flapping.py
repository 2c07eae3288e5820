"""When an alert flaps: it fires, is over and fires again, and each firing by itself says little about whether the target is in trouble."""

from collections.abc import Collection
from datetime import timedelta

WINDOW = timedelta(minutes=30)
"""Firings are counted over so long."""

FIRINGS = 3
"""So many firings of one alert within the window are flapping: one that came back once may be a rollback that did not help."""

SETTLED = timedelta(minutes=5)
"""An alert that flapped and fires for so long on end is answered like any other, by a person's leave: it must not hide a real one."""


def flaps(counted: Collection[tuple[str, int]]) -> str:
    """Of (alert name, firings within the window): in words if every one of them flaps, "" if one does not, which then stands for itself."""
    if not counted or any(count < FIRINGS for _, count in counted):
        return ""
    name, count = max(counted, key=lambda one: (one[1], one[0]))
    others = f" (and {len(counted) - 1} more)" if len(counted) > 1 else ""
    return f"{name} fired {count} times within {WINDOW.total_seconds() / 60:.0f} minutes{others}: it flaps"
