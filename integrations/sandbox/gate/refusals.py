"""What Gate says when it refuses: the shapes A to D of its error bodies, and how it passes on what a backend said (contract 2.2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from integrations.sandbox.gate.settings import Json

HTTP: Final = "com.netflix.spinnaker.kork.retrofit.exceptions.SpinnakerHttpException"
NETWORK: Final = "com.netflix.spinnaker.kork.retrofit.exceptions.SpinnakerNetworkException"
CONVERSION: Final = "com.netflix.spinnaker.kork.retrofit.exceptions.SpinnakerConversionException"
NOT_FOUND: Final = "com.netflix.spinnaker.kork.web.exceptions.NotFoundException"
DENIED: Final = "org.springframework.security.access.AccessDeniedException"

EMPTY_BODY: Final = (
    "Failed to process response body: No content to map due to end-of-input\n"
    " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1]"
)
HTML_BODY: Final = (
    "Failed to process response body: Unexpected character ('<' (code 60)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true'"
    " or 'false')\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1]"
)
BROKEN_BODY: Final = (
    "Failed to process response body: Unexpected end-of-input within/between Object entries\n"
    " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 11]"
)
NOT_A_LIST: Final = (
    "Failed to process response body: Cannot deserialize value of type `java.util.ArrayList<java.util.Map<java.lang.String,java.lang.Object>>`"
    " from Object value (token `JsonToken.START_OBJECT`)\n"
    " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1]"
)


class BackendError(Exception):
    """A backend refused, or did not answer: its status and its own message. `kind` is the exception class that Gate names."""

    def __init__(self, status: int, message: str, *, kind: str = HTTP) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


class RefusedError(Exception):
    """Gate's answer of shape A: `message` word for word, `exception` the class it names."""

    def __init__(self, status: int, message: str, exception: str = HTTP) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.exception = exception

    def body(self, timestamp: str) -> Json:
        """Shape A."""
        return {"error": phrase(self.status), "exception": self.exception, "message": self.message, "status": self.status, "timestamp": timestamp}


class ProblemError(Exception):
    """Gate's answer of shape B: what the framework itself refuses."""

    def __init__(self, status: int, detail: str, *, allow: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.allow = allow

    def body(self, instance: str) -> Json:
        """Shape B; `instance` is the path that was asked for."""
        return {"detail": self.detail, "instance": instance, "status": self.status, "title": phrase(self.status), "type": "about:blank"}


def passed_on(error: BackendError, method: str, url: str, before: str = "") -> RefusedError:
    """What Gate says of a backend's refusal: the same status, the message around the backend's own. `before` is put in front."""
    if error.kind != HTTP:
        return RefusedError(error.status, f"{before}{error.message}", error.kind)
    return RefusedError(error.status, f"{before}Status: {error.status}, Method: {method}, URL: {url}, Message: {error.message}")


def nested(error: BackendError, method: str, url: str) -> BackendError:
    """What Orca says of a refusal of a backend of its own."""
    if error.kind != HTTP:
        return BackendError(error.status, error.message)
    return BackendError(error.status, f"Status: {error.status}, Method: {method}, URL: {url}, Message: {error.message}")


def phrase(status: int) -> str:
    """The reason phrase of a status."""
    return HTTPStatus(status).phrase


@contextmanager
def heard(method: str, url: str, before: str = "") -> Iterator[None]:
    """Pass on what a backend says inside, as an answer to this call of `url`; see `passed_on`."""
    try:
        yield
    except BackendError as error:
        raise passed_on(error, method, url, before) from error
