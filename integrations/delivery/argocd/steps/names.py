"""The names of the steps, as plans and intents carry them: they are stored, so they are never renamed."""

STOP, PROVE, CLEAR, BACK, MARK, UNMARK, RESTORE, ABORT, PROMOTE, SYNC, RETURN, PIN, DEPLOY, UNPIN = (
    "stop_auto_sync",
    "prove_controller",
    "clear_slot",
    "roll_back",
    "mark_hold",
    "unmark_hold",
    "restore_auto_sync",
    "abort",
    "promote",
    "sync_release",
    "return_to_release",
    "pin_source",
    "deploy_pinned",
    "unpin_source",
)
