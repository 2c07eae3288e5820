"""Stages that change server groups: enable, disable, resize, destroy, and the rollbacks built from them (contract 4.2; recordings 12)."""

from typing import Final

from integrations.sandbox.gate.stage import Definition

GROUPS: Final[dict[str, Definition]] = {}
"""The types by name."""
