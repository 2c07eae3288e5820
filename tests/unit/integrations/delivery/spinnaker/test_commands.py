import json
import shlex
import subprocess

from integrations.delivery.spinnaker import commands
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.server_groups import ClusterAddress

URL = "https://gate.example/api"


def test_a_command_follows_no_redirect_and_fails_on_errors_and_on_nothing() -> None:
    for line in (commands.post(URL, "/tasks", {}), commands.get(URL, "/version")):
        words = shlex.split(line)
        assert words[0] == "curl"
        assert "--fail" in words
        assert words[words.index("--max-redirs") + 1] == "0"
        assert not {"-L", "--location"} & set(words)
        assert words[words.index("|") + 1] == "grep"
        assert "$GATE_AUTH" in words


def test_a_body_is_quoted_for_a_shell() -> None:
    body = {"description": 'it\'s $HOME `id` "x"', "job": [{"revision": 41}]}
    words = shlex.split(commands.post(URL, "/tasks", body))
    assert json.loads(words[words.index("-d") + 1]) == body
    assert f"{URL}/tasks" in words


def test_the_check_at_its_end_lets_a_ref_through_and_a_login_page_not() -> None:
    line = commands.post(URL, "/tasks", {})
    words = shlex.split(line)
    grep = words[words.index("|") + 1 :]
    for answer, code in ((b'{"ref":"/tasks/01K"}', 0), (b"<html>log in</html>", 1), (b"", 1)):
        assert subprocess.run(grep, input=answer, stdout=subprocess.DEVNULL, check=False).returncode == code


def by_hand(line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What a shell makes of it, where `curl` writes down what it was asked."""
    said = 'curl() { printf "{%s} " "$@" >> /dev/stderr; echo "{}"; }; '
    return subprocess.run(["/bin/sh", "-c", said + line], env=environment, capture_output=True, text=True, check=False)


def test_a_run_is_cancelled_by_the_id_that_the_person_sets_and_then_read() -> None:
    ran = by_hand(commands.cancel_run(URL), RUN="01K", GATE_AUTH="X-Token: t")
    assert ran.returncode == 0
    cancelled, _, read = ran.stderr.partition("{-X} {PUT} ")
    assert f"{{{URL}/pipelines/01K/cancel?reason=by+hand&force=false}}" in cancelled
    assert read.endswith(f"{{{URL}/pipelines/01K}} ")
    assert all("{--fail} {--max-redirs} {0} {-H} {X-Token: t}" in one for one in (cancelled, read))


def test_without_the_id_of_a_run_nothing_is_cancelled() -> None:
    ran = by_hand(commands.cancel_run(URL))
    assert ran.returncode != 0
    assert "set it to the id of the run" in ran.stderr
    assert "--fail" not in ran.stderr


def test_a_manifest_is_addressed_in_two_words() -> None:
    assert commands.live_path("shop", ManifestAddress("k8s", "ns", "deployment", "web")) == "/manifests/k8s/ns/deployment%20web"
    cluster = ClusterAddress(application="web", account="prod", cluster="web-main", region="us-east-1")
    assert commands.live_path("my web", cluster) == "/applications/my%20web/serverGroups?expand=true&clusters=prod:web-main"
