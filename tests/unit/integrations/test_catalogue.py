import inspect
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_origin

import pytest
import typing_extensions
from pydantic import BaseModel, ValidationError

from integrations import catalogue
from service.domain import keys, ports
from service.domain.facts import Absent, Fact, Key
from service.domain.model import TargetId
from service.domain.rules import RULES
from service.workflow.cluster_facts import ClusterFacts
from service.workflow.own_facts import OwnFacts
from tests.fakes.clock import FakeClock
from tests.unit.service.domain import made

NOBODY = "http://127.0.0.1:1"
TARGET = TargetId("prod", "checkout")

ENTRIES: Mapping[str, tuple[Any, type, Mapping[str, Any]]] = {
    "delivery.argocd": (catalogue.DELIVERY["argocd"], ports.Delivery, {"name": "prod", "url": NOBODY, "token_file": "token"}),
    "delivery.spinnaker": (
        catalogue.DELIVERY["spinnaker"],
        ports.Delivery,
        {
            "name": "spin",
            "url": NOBODY,
            "auth": "api_token",
            "token_file": "token",
            "applications": ["shop"],
            "rollback_pipelines": [{"pipeline": "back", "targets": ["*"]}],
        },
    ),
    "evidence.databases": (catalogue.EVIDENCE["databases"], ports.FactSource, {"databases": [{"name": "orders", "url": "postgresql://role@127.0.0.1:1/db"}]}),
    "evidence.git": (catalogue.EVIDENCE["git"], ports.FactSource, {}),
    "evidence.kubernetes": (catalogue.EVIDENCE["kubernetes"], ports.FactSource, {"clusters": [{"name": "home", "in_cluster": True}]}),
    "evidence.prometheus": (catalogue.EVIDENCE["prometheus"], ports.FactSource, {"url": NOBODY}),
    "evidence.registry": (catalogue.EVIDENCE["registry"], ports.FactSource, {}),
    "notify.webhook": (catalogue.NOTIFY["webhook"], ports.Sender, {"url": NOBODY}),
    "trace.otlp": (catalogue.TRACE["otlp"], ports.Sender, {"url": NOBODY}),
    "alerts.alertmanager": (catalogue.ALERTS["alertmanager"], ports.AlertSource, {}),
}
"""Each entry with the port that it answers and the least that its settings need."""

SECTIONS = {
    "delivery": catalogue.DELIVERY,
    "evidence": catalogue.EVIDENCE,
    "notify": catalogue.NOTIFY,
    "trace": catalogue.TRACE,
    "alerts": catalogue.ALERTS,
}


OURS: Mapping[str, Any] = {"own facts": OwnFacts, "cluster facts": ClusterFacts}


def build(name: str, folder: Path) -> Any:
    entry, _, least = ENTRIES[name]
    given = {key: str(folder / value) if key.endswith("_file") else value for key, value in least.items()}
    more = {"traceparent": str} if name.startswith("delivery.") else {}
    return entry.build(entry.settings.model_validate(given), FakeClock(), **more)


def sources(folder: Path) -> dict[str, Any]:
    """Everything that answers facts, by name; our own records count as one, and so does what runs by the cluster's own word."""
    (folder / "token").write_text("t", encoding="utf-8")
    return {name: build(name, folder) for name in ENTRIES if name.startswith(("delivery.", "evidence."))} | dict(OURS)


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and every model inside it."""
    yield model

    def inside(annotation: Any) -> Iterator[type[BaseModel]]:
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            yield from models(annotation)
        for one in getattr(annotation, "__args__", ()):
            yield from inside(one)

    for field in model.model_fields.values():
        yield from inside(field.annotation)


CONSTRUCTORS: tuple[Callable[..., Key[Any]], ...] = tuple(
    one
    for _, one in sorted(vars(keys).items())
    if inspect.isfunction(one) and one.__module__ == keys.__name__ and get_origin(inspect.signature(one).return_annotation) is Key
)


def key_of(constructor: Callable[..., Key[Any]]) -> Key[Any]:
    """A key as the constructor makes it of ordinary arguments."""
    samples: Mapping[Any, Hashable] = {TargetId: TARGET, str: "a" * 40}
    arguments = [samples.get(one.annotation, datetime(2026, 5, 4, tzinfo=UTC) if one.name == "before" else ()) for one in parameters(constructor)]
    return constructor(*arguments)


def parameters(of: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(of).parameters.values())


def missing(one: Any, port: type) -> list[str]:
    """What the port asks for and the object does not have, or has in another shape."""
    wrong = []
    for name in sorted(typing_extensions.get_protocol_members(port)):
        wanted, found = inspect.getattr_static(port, name), getattr(one, name, None)
        if found is None:
            wrong.append(f"no {name}")
        elif inspect.isfunction(wanted):
            if inspect.iscoroutinefunction(wanted) != inspect.iscoroutinefunction(found):
                wrong.append(f"{name} is asynchronous on one side only")
            if [each.name for each in parameters(wanted)][1:] != [each.name for each in parameters(found)]:
                wrong.append(f"{name} takes other arguments")
    return wrong


def test_every_integration_in_the_catalogue_is_tested_here() -> None:
    assert {f"{section}.{kind}" for section, kinds in SECTIONS.items() for kind in kinds} == ENTRIES.keys()


@pytest.mark.parametrize("name", ENTRIES)
def test_a_setting_that_no_model_knows_is_refused_at_every_depth(name: str) -> None:
    entry, _, least = ENTRIES[name]
    assert [model.__name__ for model in models(entry.settings) if model.model_config.get("extra") != "forbid"] == []
    entry.settings.model_validate(least)
    with pytest.raises(ValidationError) as caught:
        entry.settings.model_validate({**least, "surprise": 1})
    assert [(fault["type"], fault["loc"]) for fault in caught.value.errors()] == [("extra_forbidden", ("surprise",))]


@pytest.mark.parametrize("name", ENTRIES)
def test_settings_cannot_be_changed_after_the_start(name: str) -> None:
    entry, _, least = ENTRIES[name]
    settings = entry.settings.model_validate(least)
    for field in entry.settings.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, field, getattr(settings, field))


@pytest.mark.parametrize("name", ENTRIES)
async def test_what_is_built_keeps_its_port(name: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t", encoding="utf-8")
    one = build(name, tmp_path)
    assert missing(one, ENTRIES[name][1]) == []
    if not name.startswith("alerts."):
        assert missing(one, ports.Checkable) == []
        await one.close()


def test_what_does_not_keep_a_port_is_told() -> None:
    class HalfSender:
        channel = "notify"

        def send(self, body: bytes) -> None:
            raise AssertionError(body)

    assert missing(HalfSender(), ports.Sender) == ["send is asynchronous on one side only", "send takes other arguments"]
    assert missing(object(), ports.FactSource) == ["no kinds", "no read"]


def test_senders_bear_the_channel_of_their_section(tmp_path: Path) -> None:
    assert {name: build(name, tmp_path).channel for name in ENTRIES if name.startswith(("notify.", "trace."))} == {
        "notify.webhook": "notify",
        "trace.otlp": "trace",
    }


def test_a_kind_of_fact_has_one_reader_but_for_pods_which_the_cluster_tells_when_the_delivery_system_cannot(tmp_path: Path) -> None:
    readers: dict[str, set[str]] = {}
    for name, source in sources(tmp_path).items():
        for kind in source.kinds:
            readers.setdefault(kind, set()).add("delivery" if name.startswith("delivery.") else name)  # a target has one delivery system
    assert {kind: names for kind, names in readers.items() if len(names) > 1} == {"pods": {"delivery", "cluster facts"}}


def test_every_key_that_a_rule_could_ask_for_has_a_reader_and_nobody_reads_what_no_key_names(tmp_path: Path) -> None:
    read = {kind for source in sources(tmp_path).values() for kind in source.kinds}
    assert {key_of(one).kind for one in CONSTRUCTORS} == read


def test_what_the_rules_ask_for_in_the_good_world_is_read_by_somebody(tmp_path: Path) -> None:
    asked = {key.kind for rule in RULES for key in made.world().gathered(rule)}
    assert len(asked) > 10
    assert asked <= {kind for source in sources(tmp_path).values() for kind in source.kinds}


@pytest.mark.parametrize("constructor", CONSTRUCTORS, ids=lambda one: one.__name__)
async def test_a_source_knows_the_shape_of_the_keys_it_says_it_reads(constructor: Callable[..., Key[Any]], tmp_path: Path) -> None:
    """Nobody answers here: the fact has to be absent for that reason, not because the key was not understood."""
    key = key_of(constructor)
    for name, source in sources(tmp_path).items():
        if key.kind in source.kinds and name not in OURS:
            fact: Fact[Any] = await source.read(key)
            assert isinstance(fact, Absent)
            assert not re.search(r"cannot answer the|knows nothing of", fact.why), fact.why
            await source.close()


async def test_a_key_of_another_source_is_absent_and_no_error(tmp_path: Path) -> None:
    for name, source in sources(tmp_path).items():
        if name not in OURS:
            assert isinstance(await source.read(Key("weather", TARGET)), Absent)
            await source.close()
