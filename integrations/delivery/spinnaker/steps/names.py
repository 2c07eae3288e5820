"""The names of the steps, as plans and intents carry them: they are stored, so they are never renamed."""

UNDO, WATCH, STOP = ("undo", "watch", "stop_deploy")
