"""The names of the steps, as plans and intents carry them: they are stored, so they are never renamed."""

UNDO, WATCH, STOP, SHUT, OPEN, UNMARK, OWN = ("undo", "watch", "stop_deploy", "shut_triggers", "open_triggers", "unmark_triggers", "run_own_pipeline")
