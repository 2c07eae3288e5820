from integrations.delivery.argocd.steps import names


def test_a_name_that_was_stored_once_stays_for_ever() -> None:
    assert {name: value for name, value in vars(names).items() if name.isupper()}.items() >= {
        "STOP": "stop_auto_sync",
        "PROVE": "prove_controller",
        "CLEAR": "clear_slot",
        "BACK": "roll_back",
        "MARK": "mark_hold",
        "UNMARK": "unmark_hold",
        "RESTORE": "restore_auto_sync",
        "ABORT": "abort",
        "PROMOTE": "promote",
        "SYNC": "sync_release",
        "RETURN": "return_to_release",
        "PIN": "pin_source",
        "DEPLOY": "deploy_pinned",
        "UNPIN": "unpin_source",
    }.items()
