"""Posts notifications to one webhook. What they say is decided elsewhere; when to try again is the outbox's.

A notification can arrive more than once: `Idempotency-Key` is the same each time the same body is sent.
"""

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from integrations.http import Answer, Http, address, credential
from service.domain.errors import BackoutError, RefusedError, TemporaryError
from service.domain.ports import Checked, Clock


def _as_it_is(url: str) -> str:
    """A checked address in which a closing slash counts."""
    address(url)
    return url


class Settings(BaseModel):
    """Where notifications go."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    url: Annotated[str, AfterValidator(_as_it_is)] | None = Field(
        default=None, description="Address that takes a POST of JSON. Errors show only its host. This or url_file."
    )
    url_file: Path | None = Field(default=None, description="File with the address, for chat systems whose address is a secret; read at the start.")
    token_file: Path | None = Field(default=None, description="File with a bearer token, read again for each request. Default: none.")
    signing_key_file: Path | None = Field(
        default=None, description="File with the key of an HMAC-SHA256 over the body, read again for each request. Default: bodies are not signed."
    )
    signature_header: str = Field(
        default="X-Backout-Signature", pattern=r"^[A-Za-z0-9-]+$", description="Header that carries `sha256=<hex>`. Default: X-Backout-Signature."
    )
    ca_file: Path | None = Field(default=None, description="PEM file of the authority that signed the server's certificate. Default: the system's.")
    timeout_s: float = Field(default=10.0, gt=0, le=120, description="Seconds until one request counts as not answered. Default: 10.")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set url or url_file")
        return self


class WebhookNotifier:
    """A `Sender` for the channel `notify`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        url = settings.url or credential(settings.url_file or Path())
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        self._http = Http(base_url=server, token_file=settings.token_file, ca_file=settings.ca_file, timeout=settings.timeout_s, secret_path=True)
        self._path = url.removeprefix(server) or "/"
        self._host = parts.hostname or ""

    @property
    def channel(self) -> str:
        """Notifications."""
        return "notify"

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Post each body (JSON), in order. TemporaryError: not all were taken, send all again later; RefusedError, PermanentError: a person is needed."""
        for body in bodies:
            headers = {"Content-Type": "application/json", "Idempotency-Key": hashlib.sha256(body).hexdigest(), **self._signature(body)}
            self._judge(await self._http.request("POST", self._path, data=body, headers=headers))

    async def check(self) -> Sequence[Checked]:
        """One line: whether the host can be connected to, and the files read. Nothing is sent."""
        what = f"notifications to {self._host}"
        try:
            for file in (self._settings.token_file, self._settings.signing_key_file):
                if file is not None:
                    credential(file)
            await self._http.connect()
        except BackoutError as error:
            return (Checked(what=what, well="no", says=str(error), fix="set url, ca_file and the credential files so that the webhook can be reached"),)
        return (Checked(what=what, well="ok", says="the host takes connections; nothing was sent"),)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _signature(self, body: bytes) -> dict[str, str]:
        if self._settings.signing_key_file is None:
            return {}
        key = credential(self._settings.signing_key_file).encode()
        return {self._settings.signature_header: "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()}

    def _judge(self, answer: Answer) -> None:
        says = f"the webhook at {self._host} answered {answer.status}: {answer.first_line() or 'no reason given'}"
        match answer.status:
            case status if 200 <= status < 300:  # noqa: PLR2004  the class of success
                return
            case status if status in {408, 429} or status >= 500:  # noqa: PLR2004  the class of the server's own trouble
                raise TemporaryError(says)
            case _:
                raise RefusedError(says)


def build(settings: Settings, clock: Clock) -> WebhookNotifier:  # noqa: ARG001  every integration is built with a clock; posting needs none
    """The sender. PermanentError when url_file cannot be read."""
    return WebhookNotifier(settings)
