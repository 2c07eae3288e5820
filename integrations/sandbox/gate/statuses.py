"""Orca's statuses: which of them are final, and after which a pipeline goes on (contract 6.3)."""

from typing import Final

COMPLETE: Final = frozenset({"SUCCEEDED", "FAILED_CONTINUE", "SKIPPED", "TERMINAL", "CANCELED", "STOPPED"})
GOES_ON: Final = frozenset({"SUCCEEDED", "FAILED_CONTINUE", "SKIPPED"})
STATUSES: Final = frozenset({"NOT_STARTED", "RUNNING", "PAUSED", "SUSPENDED", "BUFFERED", "REDIRECT"}) | COMPLETE
