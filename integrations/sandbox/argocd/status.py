"""gRPC status codes as Argo CD's gateway shows them over HTTP: one exception class and the table of codes.

Which call fails with what is decided elsewhere; the edge turns a `RefusedError` into an answer.
"""

from typing import Any, Final

Json = dict[str, Any]

CANCELED: Final = 1
UNKNOWN: Final = 2
INVALID: Final = 3
DEADLINE: Final = 4
NOT_FOUND: Final = 5
EXISTS: Final = 6
DENIED: Final = 7
PRECONDITION: Final = 9
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

HTTP_STATUS: Final = {
    CANCELED: 408,
    UNKNOWN: 500,
    INVALID: 400,
    DEADLINE: 504,
    NOT_FOUND: 404,
    EXISTS: 409,
    DENIED: 403,
    8: 429,
    PRECONDITION: 400,
    10: 409,
    12: 501,
    INTERNAL: 500,
    UNAVAILABLE: 503,
    UNAUTHENTICATED: 401,
}
HTTP_NAME: Final = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


class RefusedError(Exception):
    """An error answer of the API: gRPC `code` and the server's words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """HTTP status that the gateway gives this code."""
        return HTTP_STATUS[self.code]

    def unary(self) -> Json:
        """Body of an ordinary call's error."""
        return {"error": self.message, "code": self.code, "message": self.message}

    def streamed(self) -> Json:
        """Body of an error on a stream, before or after its first message."""
        error = {"grpc_code": self.code, "http_code": self.http_status, "message": self.message, "http_status": HTTP_NAME.get(self.http_status, "")}
        return {"error": error}


def denied() -> RefusedError:
    """403 without detail: forbidden, missing, or the Kubernetes API is down (contract 1.3)."""
    return RefusedError(DENIED, "permission denied")


def app_not_found(name: str) -> RefusedError:
    """404 that only callers see who named a project they may use."""
    return RefusedError(NOT_FOUND, f'applications.argoproj.io "{name}" not found')
