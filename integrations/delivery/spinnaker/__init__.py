"""Spinnaker behind the delivery port, through Gate as recorded on release 2026.2.3. Nothing here is wired yet: the readers come first."""
