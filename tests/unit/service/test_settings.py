from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from service.domain.errors import SettingsError
from service.domain.model import Mode, TargetId
from service.settings import Kinds, Settings, explain, load

RULES = ("schema_is_compatible", "caches_stay_coherent")


class Argo(BaseModel):
    """A delivery system's own settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = Field(description="Base address of argocd-server.")
    token_file: Path
    timeout_seconds: float = Field(default=10.0, gt=0, description="For each exchange. Default: 10.")


class Hook(BaseModel):
    """A notifier's own settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = ""


class Metrics(BaseModel):
    """An evidence source's own settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = Field(description="Prometheus' address.")


KINDS = Kinds(delivery={"argocd": Argo}, notify={"webhook": Hook}, evidence={"prometheus": Metrics, "git": Hook}, rules=RULES)

GOOD = """\
store: sqlite:////var/lib/backout/backout.db
auth: {keys_file: /etc/backout/keys.json}
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Variables are set through it; those of the machine do not count."""
    return monkeypatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backout.yaml"


def written(file: Path, text: str) -> Settings:
    file.write_text(dedent(text), encoding="utf-8")
    return load(file, KINDS)


def faults(file: Path, text: str) -> list[str]:
    """Every fault of the text, one a line."""
    with pytest.raises(SettingsError) as raised:
        written(file, text)
    return str(raised.value).splitlines()


def fault(file: Path, text: str) -> str:
    (only,) = faults(file, text)
    return only


# --- what is read ----------------------------------------------------------------------------------------------------------------------


def test_two_settings_are_enough(file: Path) -> None:
    settings = written(file, GOOD)
    assert (settings.store, settings.auth.keys_file) == ("sqlite:////var/lib/backout/backout.db", Path("/etc/backout/keys.json"))
    assert (settings.address, settings.stop_file, settings.notify, settings.delivery) == (("127.0.0.1", 8080), None, (), ())
    assert settings.policies.of(TargetId("prod", "x")).mode is Mode.SUGGEST


def test_a_full_file_is_read_into_policies_and_integrations(file: Path) -> None:
    settings = written(
        file,
        GOOD
        + """\
listen: 127.0.0.1:9090
stop_file: STOP
alerts:
  alertmanager:
    - {name: main, token_file: alert-token, targets: "prod:*"}
  mapping:
    - {labels: {app: "*"}, target: "prod:{app}"}
notify:
  - {kind: webhook, name: on-call, url: "https://chat.example/hook"}
delivery:
  - {kind: argocd, name: prod, url: "https://argocd.example", token_file: argocd-token}
evidence:
  prometheus: {url: "http://prometheus:9090"}
targets:
  - match: prod:shop-*
    mode: auto
    alerts: [HighErrorRate]
    recovered_when: {promql: errors, below: 0.01, for: 10m, scrape_interval: 15s}
    version_split: {promql: "errors by (version)", label: version, above: 0.01}
    declares: {shared_services: [], cache: versioned}
    waivers:
      - {rule: caches_stay_coherent, reason: "reviewed in May", expires: 2027-01-31}
    act_within: 90s
    rollback_window: 1d12h
  - match: "*"
    mode: observe
""",
    )
    policy = settings.policies.of(TargetId("prod", "shop-web"))
    assert (policy.mode, policy.alerts, policy.act_within, policy.rollback_window) == (
        Mode.AUTO,
        ("HighErrorRate",),
        timedelta(seconds=90),
        timedelta(hours=36),
    )
    assert (policy.recovered_when.below, policy.recovered_when.bake) == (0.01, timedelta(minutes=10))
    assert (policy.declares.shared_services, policy.declares.cache) == ((), "versioned")
    (waiver,) = policy.waivers
    assert waiver.expires == datetime(2027, 1, 31, tzinfo=UTC)
    assert settings.policies.of(TargetId("prod", "other")).mode is Mode.OBSERVE
    assert settings.mapping[0].target == "prod:{app}"
    (argo,) = settings.delivery
    assert (argo.kind, argo.name, argo.settings.token_file) == ("argocd", "prod", file.parent / "argocd-token")
    assert settings.evidence["prometheus"].url == "http://prometheus:9090"
    assert settings.notify[0].settings.url == "https://chat.example/hook"


def test_relative_files_are_meant_beside_the_settings_file(file: Path) -> None:
    settings = written(
        file,
        """\
        store: sqlite:///backout.db
        auth: {keys_file: keys/keys.json}
        stop_file: STOP
        alerts: {alertmanager: [{name: main, token_file: t, targets: "*"}]}
        """,
    )
    here = file.parent
    assert settings.store == f"sqlite:///{here}/backout.db"
    assert (settings.auth.keys_file, settings.stop_file) == (here / "keys" / "keys.json", here / "STOP")
    assert settings.alerts.alertmanager[0].token_file == here / "t"


def test_promise_12_the_version_of_a_policy_changes_with_its_text_and_with_nothing_else(file: Path) -> None:
    def version(more: str) -> str:
        return written(file, GOOD + more).policies.of(TargetId("prod", "x")).version

    one = version("targets: [{match: 'prod:*', mode: auto}]")
    assert version("listen: 127.0.0.1:1\ntargets:\n  - mode: auto\n    match: prod:*") == one
    assert version("targets: [{match: 'prod:*', mode: auto, act_within: 61s}]") != one
    assert version("targets: [{match: 'prod:*', mode: auto, declares: {shared_services: []}}]") != one


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("3m", 180), ("2h", 7200), ("7d", 604800), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("30 s", 30)]
)
def test_durations_have_units(file: Path, text: str, seconds: float) -> None:
    assert written(file, GOOD + f"watch: {{every: {text}}}").watch.every == timedelta(seconds=seconds)


# --- what stops the start --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["30", "1:30", "0s", "-3s", "soon", "3 weeks", "s", "''", "true", "3m?"])
def test_what_is_no_duration_says_what_one_looks_like(file: Path, text: str) -> None:
    told = fault(file, GOOD + f"watch:\n  every: {text}")
    assert told.startswith("backout.yaml:4: watch.every: expected a duration ")


def test_promise_1_an_unknown_setting_stops_the_start_and_the_right_one_is_suggested(file: Path) -> None:
    assert fault(file, GOOD + "watch:\n  beat: 5s\n  evry: 10s") == "backout.yaml:5: watch.evry: unknown setting. Did you mean every?"
    assert fault(file, GOOD + "xyzzy: 1") == "backout.yaml:3: xyzzy: unknown setting."


@pytest.mark.parametrize("store", ["postgresql://backout:s3cret@db/backout", "postgresql://backout@db/backout?password=s3cret"])
def test_promise_12_a_password_in_the_address_of_the_store_is_refused_and_not_repeated(file: Path, store: str) -> None:
    told = fault(file, GOOD.replace("sqlite:////var/lib/backout/backout.db", store))
    assert "?passfile=" in told
    assert "s3cret" not in told


def test_the_password_of_the_store_may_stand_in_a_file(file: Path) -> None:
    store = "postgresql://backout@db/backout?passfile=/etc/backout/pgpass"
    assert written(file, GOOD.replace("sqlite:////var/lib/backout/backout.db", store)).store == store


def test_a_missing_setting_is_named_with_what_it_is(file: Path) -> None:
    told = faults(file, "listen: 127.0.0.1:8080\n")
    assert told[0].startswith("backout.yaml:1: store: missing. sqlite:////absolute/path.db")
    assert told[1].startswith("backout.yaml:1: auth: missing. Who may call the API.")
    told = faults(file, GOOD + "alerts:\n  alertmanager:\n    - name: main\n      token_file: t")
    (only,) = told
    assert only.startswith("backout.yaml:5: alerts.alertmanager[0].targets: missing. Pattern of the targets this sender speaks for")


def test_every_fault_is_told_at_once_each_with_its_line(file: Path) -> None:
    told = faults(
        file,
        GOOD
        + """\
listen: nowhere
targets:
  - match: prod:*
    mode: automatic
    rollbacks: 0
delivery:
  - {kind: spinnaker, name: x}
  - kind: argocd
    name: prod
    url: https://argocd.example
evidence:
  promtheus: {url: x}
""",
    )
    places = [line.split(": ")[0] + " " + line.split(": ")[1] for line in told]
    assert places == [
        "backout.yaml:3 listen",
        "backout.yaml:6 targets[0].mode",
        "backout.yaml:7 targets[0].rollbacks",
        "backout.yaml:9 delivery[0].kind",
        "backout.yaml:10 delivery[1].token_file",
        "backout.yaml:14 evidence.promtheus",
    ]
    assert told[3].endswith("expected one of argocd")
    assert told[5].endswith("unknown setting. Did you mean prometheus?")


def test_a_fault_in_an_integrations_own_settings_has_its_line_and_its_words(file: Path) -> None:
    text = GOOD + "delivery:\n  - kind: argocd\n    name: prod\n    url: https://argocd.example\n    token_file: t\n    timeout_seconds: 0\n    tokn: 1"
    told = faults(file, text)
    assert told[0].startswith("backout.yaml:8: delivery[0].timeout_seconds: input should be greater than 0. For each exchange.")
    assert told[1] == "backout.yaml:9: delivery[0].tokn: unknown setting."


@pytest.mark.parametrize("name", ["", "Prod", "a b", "-x", "x" * 64])
def test_a_name_that_could_not_stand_in_an_id_is_refused(file: Path, name: str) -> None:
    told = fault(file, GOOD + f"notify:\n  - kind: webhook\n    name: '{name}'")
    assert told == "backout.yaml:5: notify[0].name: expected a name of a-z, 0-9 and -"


def test_two_of_one_name_are_refused(file: Path) -> None:
    hook = "  - {kind: webhook, name: on-call}\n"
    assert fault(file, GOOD + "notify:\n" + hook + hook) == "backout.yaml:5: notify[1].name: on-call is used twice"


def test_a_setting_that_stands_twice_is_refused_for_one_of_them_would_silently_not_count(file: Path) -> None:
    told = fault(file, GOOD + "targets: [{match: 'prod:*', mode: observe}]\nlisten: 127.0.0.1:1\ntargets: [{match: 'prod:*', mode: auto}]")
    assert told == "backout.yaml:5: targets: stands here and in line 3; once is expected"
    told = fault(file, GOOD + "targets:\n  - match: prod:*\n    mode: observe\n    mode: auto")
    assert told == "backout.yaml:6: targets[0].mode: stands here and in line 5; once is expected"


@pytest.mark.parametrize(
    ("where", "line"),
    [("lets_pass: [caches_stay_coherant]", "lets_pass"), ("waivers: [{rule: caches_stay_coherant, reason: long enough, expires: 2027-01-31}]", "waivers")],
)
def test_promise_1_a_waiver_for_a_rule_that_does_not_exist_stops_the_start(file: Path, where: str, line: str) -> None:
    told = fault(file, GOOD + f"targets:\n  - match: prod:*\n    {where}")
    assert told == f"backout.yaml:5: targets[0].{line}: there is no rule caches_stay_coherant. Did you mean caches_stay_coherent?"


def test_a_rule_with_no_likeness_is_told_which_there_are(file: Path) -> None:
    assert fault(file, GOOD + "targets: [{match: x, lets_pass: [zzz]}]").endswith(
        "there is no rule zzz. Expected one of schema_is_compatible, caches_stay_coherent"
    )


@pytest.mark.parametrize(
    "waiver",
    [
        "{rule: caches_stay_coherent, reason: short, expires: 2027-01-31}",
        "{rule: caches_stay_coherent, reason: long enough}",
        "{reason: long enough, expires: 2027-01-31}",
    ],
)
def test_a_waiver_names_rule_reason_and_end(file: Path, waiver: str) -> None:
    assert ": targets[0].waivers[0]" in fault(file, GOOD + f"targets: [{{match: x, waivers: [{waiver}]}}]")


# --- conditions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "conditions: [{when: tru, reason: long enough, at_most: approve}]",
            "conditions[0].when: the condition asks for tru, and there is no such field",
        ),
        (
            "conditions: [{when: finding.answer == 'warn', reason: long enough, at_most: approve}]",
            "conditions[0].when: the condition asks for finding.answer, and it names no rule whose finding that could be",
        ),
        (
            "conditions: [{when: answers.caches == 'warn', reason: long enough, at_most: approve}]",
            "conditions[0].when: the condition asks for answers.caches, and there is no such rule",
        ),
        (
            "waivers: [{rule: caches_stay_coherent, reason: long enough, expires: 2027-01-31, when: alert.known}]",
            "waivers[0].when: the condition asks for alert.known, which others can write; what lets something pass must not depend on it",
        ),
        ("conditions: [{when: 'true', reason: long enough, rule: caches, answer: block}]", "conditions: there is no rule caches."),
        ("conditions: [{when: 'true', reason: short, at_most: approve}]", "conditions[0].reason: string should have at least 8 characters."),
        ("conditions: [{when: 'true', reason: long enough, at_most: auto}]", "conditions[0].at_most: string should match pattern"),
        (
            "conditions: [{when: 'true', reason: long enough, rule: caches_stay_coherent, answer: pass}]",
            "conditions[0].answer: string should match pattern",
        ),
        ("conditions: [{when: 'true', reason: long enough}]", "conditions[0]: expected either at_most, or rule and answer together."),
        (
            "conditions: [{when: 'true', reason: long enough, rule: caches_stay_coherent}]",
            "conditions[0]: expected either at_most, or rule and answer together.",
        ),
        (
            "conditions: [{when: 'true', reason: long enough, at_most: suggest, rule: caches_stay_coherent, answer: block}]",
            "conditions[0]: expected either at_most, or rule and answer together.",
        ),
    ],
)
def test_promise_1_a_condition_that_can_never_be_applied_stops_the_start_with_its_line(file: Path, setting: str, says: str) -> None:
    assert fault(file, GOOD + f"targets:\n  - match: prod:*\n    {setting}").startswith(f"backout.yaml:5: targets[0].{says}")


@pytest.mark.parametrize(
    "setting",
    [
        "lets_pass: [policy_can_be_applied]",
        "waivers: [{rule: policy_can_be_applied, reason: long enough, expires: 2027-01-31}]",
        "conditions: [{when: 'true', reason: long enough, rule: policy_can_be_applied, answer: block}]",
    ],
)
def test_promise_1_no_policy_speaks_about_whether_it_can_be_applied(file: Path, setting: str) -> None:
    kinds = replace(KINDS, rules=(*KINDS.rules, "policy_can_be_applied"))
    file.write_text(GOOD + f"targets:\n  - match: prod:*\n    {setting}", encoding="utf-8")
    with pytest.raises(SettingsError, match="is about the policy itself, which cannot answer it"):
        load(file, kinds)


def test_conditions_are_read_and_belong_to_the_version_that_an_approval_is_bound_to(file: Path) -> None:
    text = GOOD + "targets:\n  - match: prod:*\n    conditions: [{when: automatic, reason: long enough, at_most: suggest}]"
    (policy,) = written(file, text).policies.ordered
    (one,) = policy.conditions
    assert (one.when.text, one.reason, one.at_most, one.rule, policy.conditional) == ("automatic", "long enough", Mode.SUGGEST, "", True)
    (other,) = written(file, text.replace("automatic", "suspect.known")).policies.ordered
    assert policy.version != other.version


@pytest.mark.parametrize("when", ["{promql: errors}", "{promql: errors, below: 1, above: 0}", "{below: 1}", "{above: 1}"])
def test_promise_8_an_sli_without_exactly_one_bound_is_refused(file: Path, when: str) -> None:
    told = fault(file, GOOD + f"targets:\n  - match: x\n    recovered_when: {when}")
    assert told.startswith("backout.yaml:5: targets[0].recovered_when: expected promql with one bound, either below or above.")


@pytest.mark.parametrize("when", ["{promql: errors, below: 0}", "{promql: errors, above: 0}", "{traffic: requests}", "{for: 10s}", "{}"])
def test_an_sli_with_one_bound_or_none_declared_is_taken(file: Path, when: str) -> None:
    assert written(file, GOOD + f"targets: [{{match: x, recovered_when: {when}}}]").targets


def test_a_cache_that_is_no_word_of_ours_is_refused(file: Path) -> None:
    assert "none, versioned, compatible or incompatible" in fault(file, GOOD + "targets: [{match: x, declares: {cache: maybe}}]")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("store: [", "backout.yaml:1: this is no YAML"),
        ("- a\n- b\n", "backout.yaml:1: expected settings such as"),
        ("", "backout.yaml:1: expected settings such as"),
        ("a: 1\n---\nb: 2\n", "backout.yaml:2: this is no YAML"),
        ("? {a: b}\n: c\n", "backout.yaml:1: this is no YAML"),
        ("a: !!python/object/apply:os.system [x]\n", "backout.yaml:1: this is no YAML"),
    ],
)
def test_what_is_no_settings_file_is_told_so(file: Path, text: str, says: str) -> None:
    assert says in "\n".join(faults(file, text))


def test_a_file_that_cannot_be_read_is_told_how_to_name_another(tmp_path: Path, file: Path) -> None:
    with pytest.raises(SettingsError, match=r"No such file or directory.*--config"):
        load(tmp_path / "none.yaml", KINDS)
    file.write_bytes(b"store: \xff\xfe")
    with pytest.raises(SettingsError, match=r"it is no UTF-8.*--config"):
        load(file, KINDS)


def test_promise_12_a_wrong_value_is_not_repeated_in_the_error(file: Path) -> None:
    text = GOOD + "listen: s3cr3t-put-in-the-wrong-place\nalerts: {alertmanager: [{name: 's3cr3t name', token_file: t, targets: x}]}"
    told = faults(file, text)
    assert len(told) == 2
    assert "s3cr3t" not in "\n".join(told)


# --- variables --------------------------------------------------------------------------------------------------------------------------------


def test_a_variable_wins_over_the_file(file: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BACKOUT_LISTEN", "127.0.0.1:7070")
    environment.setenv("BACKOUT_AUTH__KEYS_FILE", "/run/keys.json")
    environment.setenv("BACKOUT_WATCH__EVERY", "3s")
    settings = written(file, GOOD + "listen: 127.0.0.1:9090\nwatch: {beat: 20s}")
    assert (settings.listen, settings.auth.keys_file) == ("127.0.0.1:7070", Path("/run/keys.json"))
    assert (settings.watch.every, settings.watch.beat) == (timedelta(seconds=3), timedelta(seconds=20))


def test_variables_of_the_command_line_and_of_kubernetes_are_no_settings(file: Path, environment: pytest.MonkeyPatch) -> None:
    for name in ("BACKOUT_TOKEN", "BACKOUT_SERVER", "BACKOUT_SERVICE_HOST", "BACKOUT_PORT_8080_TCP"):
        environment.setenv(name, "x")
    assert written(file, GOOD).listen == "127.0.0.1:8080"


def test_a_fault_in_a_variable_names_the_variable_and_not_a_line(file: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BACKOUT_LISTEN", "s3cr3t")
    told = fault(file, GOOD)
    assert told.startswith("environment: BACKOUT_LISTEN: listen: ")
    assert "s3cr3t" not in told


def test_a_variable_that_is_no_json_where_json_is_expected_stops_the_start_and_is_not_shown(file: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BACKOUT_TARGETS", "s3cr3t [")
    told = fault(file, GOOD)
    assert told == 'environment: error parsing value for field "targets": expected JSON'


def test_a_variable_may_hold_a_delivery_system_and_is_checked_like_the_file(file: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BACKOUT_DELIVERY", '[{"kind": "argocd", "name": "prod", "url": "https://a.example", "token_file": "/t"}]')
    environment.setenv("BACKOUT_EVIDENCE__PROMETHEUS__URL", "http://p.example")
    settings = written(file, GOOD)
    assert ([one.name for one in settings.delivery], settings.evidence["prometheus"].url) == (["prod"], "http://p.example")
    environment.setenv("BACKOUT_DELIVERY", '[{"kind": "helm", "name": "prod"}]')
    assert "delivery[0].kind: expected one of argocd" in fault(file, GOOD)


# --- help ---------------------------------------------------------------------------------------------------------------------------------------


def test_the_settings_explain_themselves() -> None:
    top = explain(KINDS, "")
    assert "store  (must be set)\n    sqlite:////absolute/path.db" in top
    assert "keys_file  (must be set)" in explain(KINDS, "auth")
    assert "for\n    How long it must be good." in explain(KINDS, "targets.recovered_when")
    assert explain(KINDS, "delivery") == "delivery.argocd"
    assert "timeout_seconds\n    For each exchange." in explain(KINDS, "delivery.argocd")


@pytest.mark.parametrize("path", ["nothing", "delivery.helm", "auth.keys_file.x"])
def test_settings_that_do_not_exist_are_told_so(path: str) -> None:
    with pytest.raises(SettingsError, match=f"there are no settings {path}"):
        explain(KINDS, path)


def test_every_setting_of_ours_says_what_it_is() -> None:
    def bare(model: type[BaseModel], path: str) -> list[str]:
        found: list[str] = []
        for name, field in model.model_fields.items():
            if not field.description:
                found.append(f"{path}{name}")
            for inner in _models(field.annotation):
                found += bare(inner, f"{path}{name}.")
        return found

    assert bare(Settings, "") == []


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for one in getattr(annotation, "__args__", ()) for found in _models(one)]


def test_the_real_kinds_are_models_that_refuse_what_they_do_not_know() -> None:
    from service.wiring.parts import kinds  # noqa: PLC0415  the integrations are heavy, and only here

    sections: tuple[Mapping[str, type[BaseModel]], ...] = (kinds().delivery, kinds().notify, kinds().evidence)
    for section in sections:
        assert section
        assert all(model.model_config.get("extra") == "forbid" for model in section.values())
