"""What can go wrong at an outside system, in three kinds; integrations map their library's errors to these once and keep the original as the cause.

What to do about each kind is the caller's: a temporary error may be tried again or makes a fact absent, a permanent one needs a person, a refusal is an answer.
"""


class BackoutError(Exception):
    """Base of all errors that carry a sentence for a person."""


class TemporaryError(BackoutError):
    """Nobody knows: timeout, connection, 5xx, lost answer. Trying again later may help; for a write, look first."""


class PermanentError(BackoutError):
    """Trying again will not help: bad credentials, an address that is something else, an answer in no known shape."""


class RefusedError(BackoutError):
    """The outside system, or a look at it, said no in its own words: permission, another operation, a closed window, a changed world."""


class TooLateError(RefusedError):
    """`act_before` passed before the request was sent; nothing was sent."""


class StoppedError(RefusedError):
    """The stop switch is on; nothing was sent."""


class SettingsError(BackoutError):
    """A setting is missing, unknown or wrong; the text names file, line and what was expected."""


class ConflictError(BackoutError):
    """The record changed under the writer, or one of its kind is already open."""


class BusyError(ConflictError):
    """An operation is alive for the target; what was asked for is possible once that has ended."""


class NotFoundError(BackoutError):
    """There is no such record."""


class UnavailableError(BackoutError):
    """Our own store cannot be reached, is full, or is too slow; nothing was accepted."""


class StaleLookError(UnavailableError):
    """What was looked at before a request is old by now: the process stood still, or waited. Nothing was sent; the step is done anew, look and all."""
