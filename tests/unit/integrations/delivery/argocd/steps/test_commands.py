import shlex

from integrations.delivery.argocd.client import AppRef
from integrations.delivery.argocd.steps import commands


def test_a_name_with_a_blank_and_a_quote_is_one_word_of_the_shell() -> None:
    line = commands.argocd(AppRef(name="we'b $(id)"), "rollback", then=("3",))
    assert shlex.split(line) == ["argocd", "app", "rollback", "we'b $(id)", "3"]


def test_an_application_elsewhere_is_named_with_its_namespace() -> None:
    assert commands.argocd(AppRef(name="web", namespace="team-a"), "terminate-op") == "argocd app terminate-op team-a/web"


def test_an_operation_is_taken_away_by_kubernetes() -> None:
    words = """kubectl --namespace argocd patch applications.argoproj.io/web --type json --patch '[{"op": "remove", "path": "/operation"}]'"""
    assert commands.take_operation_away("argocd", "web") == words


def test_a_patch_is_one_argument() -> None:
    line = commands.patch(AppRef(name="web"), "merge", {"metadata": {"annotations": {"a": "it's"}}})
    assert shlex.split(line)[-1] == '{"metadata": {"annotations": {"a": "it\'s"}}}'
