"""Spinnaker behind the delivery port, through Gate as recorded on release 2026.2.3. `settings.Settings` and `adapter.build` are all that wiring needs."""
