"""Backout: takes production back to safety. The layers and who may import whom: docs/architecture.md."""
