"""Argo CD behind the delivery port, true to its HTTP API as recorded on v3.2.11. `settings.Settings` and `adapter.build` are all that wiring needs."""
