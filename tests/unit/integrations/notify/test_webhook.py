import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrations.notify.webhook import Settings, WebhookNotifier, build
from integrations.sandbox.notifications import NotificationSink
from service.domain.errors import PermanentError, RefusedError, TemporaryError

BODY = '{"text": "rolled back \u2713"}'.encode()


class StillClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"a sender never waits, here {seconds} s")


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sink = NotificationSink(clock=StillClock())
        self._notifiers: list[WebhookNotifier] = []

    def notifier(self, path: str = "/hooks/T0/s3cr3t", **settings: Any) -> WebhookNotifier:
        notifier = build(Settings(**{"url": self.sink.url + path, "timeout_s": 2.0, **settings}), StillClock())
        self._notifiers.append(notifier)
        return notifier

    def file(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    async def stop(self) -> None:
        for notifier in self._notifiers:
            await notifier.close()
        await self.sink.stop()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.sink.start()
    yield lab
    await lab.stop()


async def test_each_body_is_posted_as_it_is_and_in_order(lab: Lab) -> None:
    await lab.notifier().send([BODY, b'{"n": 2}'])
    assert [(one.path, one.raw, one.answered) for one in lab.sink.received] == [("/hooks/T0/s3cr3t", BODY, 202), ("/hooks/T0/s3cr3t", b'{"n": 2}', 202)]
    assert lab.sink.received[0].headers["content-type"] == "application/json"
    assert not lab.sink.received[0].authorized
    assert "x-backout-signature" not in lab.sink.received[0].headers


async def test_the_same_body_has_the_same_key_each_time(lab: Lab) -> None:
    notifier = lab.notifier()
    await notifier.send([BODY])
    await notifier.send([BODY, b"{}"])
    sent = [one.headers["idempotency-key"] for one in lab.sink.received]
    assert sent[0] == sent[1] == hashlib.sha256(BODY).hexdigest()
    assert sent[2] != sent[0]


@pytest.mark.parametrize("path", ["", "/", "/hook/", "/hook?channel=a%2Fb"])
async def test_the_address_is_used_as_it_was_given(lab: Lab, path: str) -> None:
    await lab.notifier(path).send([BODY])
    assert lab.sink.seen[0].path == (path.partition("?")[0] or "/")
    assert lab.sink.seen[0].query == ("channel=a/b" if "?" in path else "")


async def test_an_address_can_be_a_secret_in_a_file(lab: Lab) -> None:
    await lab.notifier(url=None, url_file=lab.file("url", f"{lab.sink.url}/from-file\n")).send([BODY])
    assert lab.sink.received[0].path == "/from-file"


async def test_the_token_is_read_again_for_each_request(lab: Lab) -> None:
    notifier = lab.notifier(token_file=lab.file("token", "one\n"))
    await notifier.send([BODY])
    lab.file("token", "two\n")
    await notifier.send([BODY])
    assert [one.credential_sha256 for one in lab.sink.received] == [hashlib.sha256(f"Bearer {token}".encode()).hexdigest() for token in ("one", "two")]


async def test_the_body_is_signed_with_the_key(lab: Lab) -> None:
    await lab.notifier(signing_key_file=lab.file("key", "k3y\n"), signature_header="X-Hub-Signature-256").send([BODY])
    assert lab.sink.received[0].headers["x-hub-signature-256"] == "sha256=" + hmac.new(b"k3y", BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_taken(lab: Lab, status: int) -> None:
    lab.sink.fail_with(status)
    await lab.notifier().send([BODY])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 599])
async def test_trouble_that_passes_is_tried_later(lab: Lab, status: int) -> None:
    lab.sink.fail_with(status, body=b"busy\nsecond line")
    with pytest.raises(TemporaryError, match=f"{status}: busy$") as raised:
        await lab.notifier().send([BODY])
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 410, 413])
async def test_a_refusal_is_a_persons_to_mend(lab: Lab, status: int) -> None:
    lab.sink.fail_with(status, body=b"no_service\nsecond line", headers={"Location": lab.sink.url})
    with pytest.raises(RefusedError, match=f"{status}: no_service$") as raised:
        await lab.notifier().send([BODY])
    assert "s3cr3t" not in str(raised.value)
    assert len(lab.sink.seen) == 1


async def test_what_comes_after_a_refused_body_is_not_sent(lab: Lab) -> None:
    lab.sink.fail_with(400, times=1)
    with pytest.raises(RefusedError):
        await lab.notifier().send([BODY, b"{}"])
    assert len(lab.sink.seen) == 1


async def test_nobody_there_is_tried_later_and_the_secret_path_is_not_shown(lab: Lab) -> None:
    notifier = lab.notifier()
    await lab.sink.go_down()
    with pytest.raises(TemporaryError, match="could not be reached") as raised:
        await notifier.send([BODY])
    assert "s3cr3t" not in str(raised.value)


async def test_a_missing_key_sends_nothing(lab: Lab) -> None:
    with pytest.raises(PermanentError, match="key"):
        await lab.notifier(signing_key_file=lab.folder / "key").send([BODY])
    assert not lab.sink.seen


async def test_doctor_connects_and_sends_nothing(lab: Lab) -> None:
    (line,) = await lab.notifier().check()
    assert line.well == "ok"
    assert not lab.sink.seen
    (line,) = await lab.notifier(token_file=lab.folder / "none").check()
    assert line.well == "no"
    assert "none" in line.says
    await lab.sink.go_down()
    (line,) = await lab.notifier().check()
    assert (line.well, bool(line.fix)) == ("no", True)
    assert "s3cr3t" not in f"{line}"


@pytest.mark.parametrize(
    "wrong",
    [{}, {"url": "http://a.example/x", "url_file": "f"}, {"url": "a.example/x"}, {"url": "http://u:hunter2@a.example/"}, {"url": "http://a", "retries": 3}],
)
def test_a_wrong_setting_is_refused_without_repeating_secrets(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Settings") as raised:
        Settings.model_validate(wrong)
    assert "hunter2" not in str(raised.value)


def test_an_address_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="url"):
        build(Settings(url_file=tmp_path / "url"), StillClock())
    (tmp_path / "url").write_text("hooks.example/x")
    with pytest.raises(PermanentError, match="address"):
        build(Settings(url_file=tmp_path / "url"), StillClock())


async def test_the_channel_is_notify(lab: Lab) -> None:
    assert lab.notifier().channel == "notify"
