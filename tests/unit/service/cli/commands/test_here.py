import json
import os
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import jwt
import pytest

from integrations.sandbox.world import SIDES
from service.cli.commands.here import SANDBOXES
from tests.unit.service.cli.conftest import Shell
from tests.unit.service.cli.documents import NOW

OPTIONS = ("--subject", "alice", "--scope", "targets:read,operations:read", "--targets", "prod:*")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "made.json"
    assert Shell()("token", "key", "--keys", str(file)).code == 0
    return file


def claims(token: str, file: Path) -> dict[str, object]:
    entry = json.loads(file.read_text(encoding="utf-8"))["keys"][-1]
    options: jwt.types.Options = {"verify_exp": False, "verify_iat": False}
    read: dict[str, object] = jwt.decode(token, entry["public"], algorithms=["EdDSA"], audience="backout", options=options)
    return read


# --- keys and tokens -----------------------------------------------------------------------------------------------------


def test_a_key_file_can_be_read_by_its_owner_alone_and_its_key_is_not_printed(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old = os.umask(0)
    try:
        ran = Shell()("token", "key", "--keys", str(file))
    finally:
        os.umask(old)
    assert ran.code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    entry = json.loads(file.read_text(encoding="utf-8"))["keys"][0]
    assert entry["kid"] in ran.out
    assert "PRIVATE" in entry["private"]
    assert "PRIVATE" not in ran.out + ran.err


def test_a_key_file_that_is_there_is_never_overwritten(keys: Path) -> None:
    before = keys.read_bytes()
    ran = Shell()("token", "key", "--keys", str(keys))
    assert ran.code == 1
    assert "is there already" in ran.err
    assert keys.read_bytes() == before


def test_a_link_in_the_key_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert Shell()("token", "key", "--keys", str(tmp_path / "link")).code == 1
    assert not (tmp_path / "elsewhere").exists()


def test_a_newer_key_is_added_and_signs_from_then_on_while_old_tokens_stay_good(keys: Path) -> None:
    before = json.loads(keys.read_text(encoding="utf-8"))["keys"]
    assert Shell()("token", "key", "--keys", str(keys), "--add", "--json").document["file"] == str(keys)
    after = json.loads(keys.read_text(encoding="utf-8"))["keys"]
    assert (after[:-1], len(after)) == (before, 2)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert [file.name for file in keys.parent.iterdir()] == ["made.json"]
    token = Shell()("token", "create", *OPTIONS, "--keys", str(keys)).out.strip()
    assert jwt.get_unverified_header(token)["kid"] == after[-1]["kid"]


def test_a_token_goes_to_stdout_alone_and_says_what_was_asked_for(keys: Path) -> None:
    ran = Shell()("token", "create", *OPTIONS, "--scope", "plans:write", "--expires", "12h", "--keys", str(keys))
    assert (ran.code, ran.err) == (0, "")
    made = claims(ran.out.strip(), keys)
    assert (made["sub"], made["scope"], made["targets"]) == ("alice", "targets:read operations:read plans:write", ["prod:*"])
    assert (made["iat"], made["exp"]) == (int(NOW.timestamp()), int(NOW.timestamp()) + 12 * 3600)


def test_a_token_for_a_file_is_not_printed_and_can_be_read_by_its_owner_alone(keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    ran = Shell()("token", "create", *OPTIONS, "--keys", str(keys), "--output", str(file))
    token = file.read_text(encoding="utf-8").strip()
    assert claims(token, keys)["sub"] == "alice"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in ran.out + ran.err
    assert f"BACKOUT_TOKEN_FILE={file}" in "".join(ran.out.split("\n"))


def test_a_token_with_json_is_one_document(keys: Path) -> None:
    made = Shell()("token", "create", *OPTIONS, "--keys", str(keys), "--json").document
    assert claims(made.pop("token"), keys)["sub"] == "alice"
    assert made == {"subject": "alice", "scopes": ["targets:read", "operations:read"], "targets": ["prod:*"], "expires_in_s": 30 * 86400}


def test_the_keys_file_of_the_settings_is_used_when_none_is_named(keys: Path, settings: Path) -> None:
    settings.with_name("keys.json").write_bytes(keys.read_bytes())
    for arguments, environment in (((("--config", str(settings))), {}), ((), {"BACKOUT_CONFIG": str(settings)})):
        ran = Shell(environment=environment)("token", "create", *OPTIONS, *arguments)
        assert claims(ran.out.strip(), keys)["sub"] == "alice"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--scope", "everything"), "unknown scope everything"),
        (("--expires", "soon"), "--expires soon is no length of time"),
        (("--expires", "0d"), "is no length of time"),
        (("--subject", " "), "needs a subject"),
    ],
)
def test_a_token_that_makes_no_sense_is_a_usage_error(keys: Path, changed: tuple[str, ...], said: str) -> None:
    ran = Shell()("token", "create", *OPTIONS, *changed, "--keys", str(keys))
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize(
    ("body", "said"), [(None, "cannot be read: no such file"), ("{", "it is not JSON"), ("[]", "expected an object"), ('{"keys": 1}', "expected an object")]
)
def test_what_is_no_keys_file_is_an_error_with_the_way_to_make_one(tmp_path: Path, body: str | None, said: str) -> None:
    file = tmp_path / "keys.json"
    if body is not None:
        file.write_text(body, encoding="utf-8")
    ran = Shell()("token", "create", *OPTIONS, "--keys", str(file))
    assert ran.code == 1
    assert said in ran.err
    assert "backout token key" in ran.err


def test_a_keys_file_without_a_private_key_signs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"keys": []}', encoding="utf-8")
    ran = Shell()("token", "create", *OPTIONS, "--keys", str(file))
    assert ran.code == 2
    assert "holds no private key" in ran.err


# --- serve, doctor, settings, version, demo ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_wrong_settings_do_not_start_and_stand_with_file_and_line(settings: Path, command: str) -> None:
    settings.write_text(settings.read_text(encoding="utf-8") + "\nlissten: 127.0.0.1:1\n", encoding="utf-8")
    ran = Shell()(command, "--config", str(settings))
    assert ran.code == 1
    cause, next_step = ran.err.splitlines()
    assert cause.startswith((f"{settings}:", "backout.yaml:"))
    assert "lissten" in cause
    assert "backout help settings" in next_step


def test_settings_that_are_not_there_are_named() -> None:
    ran = Shell(environment={"BACKOUT_CONFIG": "none.yaml"})("serve")
    assert ran.code == 1
    assert ran.err.startswith("none.yaml: cannot be read")


def test_doctor_is_an_error_while_something_is_not_well(settings: Path) -> None:
    ran = Shell()("doctor", "--config", str(settings), "--json")
    assert ran.code == 1, ran.err
    assert ran.document["ok"] is False
    assert {"no"} <= {one["well"] for one in ran.document["checks"]} <= {"ok", "no", "warn"}
    assert all(one["fix"] for one in ran.document["checks"] if one["well"] == "no")


def test_help_explains_the_settings_and_those_at_a_path() -> None:
    assert "stop_file" in Shell()("help", "settings").out
    assert "keys_file" in Shell()("help", "settings", "auth").out
    assert Shell()("help", "settings", "delivery.argocd.token_file").out.startswith("token_file  (must be set)\n    File with an API token")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("colour", "there are no settings colour."),
        ("delivery.argocd.token_fil", "there are no settings delivery.argocd.token_fil. Did you mean delivery.argocd.token_file?"),
        ("delivery.argo", "there are no settings delivery.argo. Did you mean delivery.argocd?"),
        ("delivery.argocd.url.host", "there are no settings delivery.argocd.url.host."),
    ],
)
def test_settings_that_do_not_exist_are_a_wrong_use_and_the_nearest_is_named(path: str, says: str) -> None:
    ran = Shell()("help", "settings", path)
    assert ran.code == 2
    assert ran.err.splitlines()[0] == f"backout: {says}"
    assert "next: `backout help settings` lists the sections" in ran.err


def test_help_alone_is_the_help_of_the_program() -> None:
    ran = Shell()("help")
    assert ran.code == 0
    assert "rollback" in ran.out


def test_version_is_that_of_the_distribution() -> None:
    assert Shell()("version").out == f"backout {version('backout')}\n"
    assert Shell()("version", "--json").document == {"version": version("backout")}


def test_the_demo_is_played_on_a_delivery_system_that_the_sandbox_has_and_on_no_other() -> None:
    ran = Shell()("demo", "--delivery", "flux")
    assert ran.code == 2
    assert "--delivery argocd or spinnaker" in ran.err
    assert SANDBOXES == SIDES


def test_http_commands_and_help_load_nothing_of_the_service_and_no_heavy_library() -> None:
    # pydantic is missing here because typer itself loads it when it reads a command's options
    heavy = (
        *("service.wiring", "service.api", "service.store", "service.engine", "service.workflow", "service.settings", "service.domain"),
        *("aiohttp", "sqlalchemy", "dbos", "opentelemetry", "asyncio", "jwt"),
    )
    program = (
        "import sys; from service.cli.app import run; from service.cli.terminal import Terminal; "
        f"codes = [run(one, Terminal(environment={{}})) for one in (['--help'], ['targets', '--server', 'http://127.0.0.1:1'])]; "
        f"print(codes, [name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.splitlines()[-1] == "[0, 1] []"
