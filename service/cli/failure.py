"""What a person is told when a command fails: the cause (one line, or one a wrong setting) and the next step. Raised anywhere, printed once, by `app.run`."""

from service.cli.exit_codes import ExitCode


class CommandFailed(Exception):  # noqa: N818  said as a person would say it
    """Ends the command. `cause` says what is wrong, `next_step` what to do about it ("" when there is nothing), `code` the exit code.

    `prefix` stands before the cause; none where the cause begins with `file:line:`, so that an editor can jump there.
    """

    def __init__(self, cause: str, next_step: str = "", code: ExitCode = ExitCode.ERROR, *, prefix: str = "backout: ") -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step
        self.code = code
        self.prefix = prefix
