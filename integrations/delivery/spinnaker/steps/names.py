"""The names of the steps, as plans and intents carry them: they are stored, so they are never renamed."""

UNDO, SWITCH, OWN, STOP, WATCH = ("undo", "switch_groups", "run_own_pipeline", "stop_deploy", "watch")
SHUT, OPEN, UNMARK = ("shut_triggers", "open_triggers", "unmark_triggers")
SEE_CANARY = "see_canary"
