from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed


def test_a_failure_says_its_cause_and_is_an_error_unless_told_otherwise() -> None:
    failed = CommandFailed("it burns", "put it out")
    assert (str(failed), failed.next_step, failed.code, failed.prefix) == ("it burns", "put it out", ExitCode.ERROR, "backout: ")
