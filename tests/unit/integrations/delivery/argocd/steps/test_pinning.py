from typing import Any

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.steps import pinning


def app(*revisions: str | None) -> dict[str, Any]:
    sources = [{"repoURL": f"https://git.example/{i}", **({"targetRevision": one} if one else {})} for i, one in enumerate(revisions)]
    return {"spec": {"sources": sources} if len(sources) > 1 else {"source": sources[0]}}


def test_each_source_has_its_own_path() -> None:
    assert pinning.paths(app("main")) == ("/spec/source/targetRevision",)
    assert pinning.paths(app("main", "1.2")) == ("/spec/sources/0/targetRevision", "/spec/sources/1/targetRevision")


def test_only_what_differs_is_written_and_each_old_value_is_tested() -> None:
    assert pinning.write(app("main", "1.2"), ("main", "1.2"), ("abc", "1.2")) == [
        {"op": "test", "path": "/spec/sources/0/targetRevision", "value": "main"},
        {"op": "add", "path": "/spec/sources/0/targetRevision", "value": "abc"},
    ]


def test_where_nothing_was_named_before_it_is_added_and_taken_away_again() -> None:
    assert pinning.write(app(None), ("",), ("abc",)) == [{"op": "add", "path": "/spec/source/targetRevision", "value": "abc"}]
    back = pinning.write(app("abc"), ("abc",), ("",))
    assert back == [{"op": "test", "path": "/spec/source/targetRevision", "value": "abc"}, {"op": "remove", "path": "/spec/source/targetRevision"}]


def test_the_digest_without_our_pin_is_that_of_before_and_shows_every_other_edit() -> None:
    for before in (app("main"), app(None), app("main", "1.2")):
        follows = reading.follows_of(before)
        pinned = tuple("abc" for _ in follows)
        intent = {"remembered": {"follows": list(follows)}, "pinned": list(pinned)}
        after = pinning.with_revisions(before, pinned)
        assert pinning.is_pinned(after, pinned)
        assert reading.spec_digest(after) != reading.spec_digest(before)
        assert pinning.digest_without(after, intent) == reading.spec_digest(before)
        edited = {**after, "spec": {**after["spec"], "revisionHistoryLimit": 3}}
        assert pinning.digest_without(edited, intent) != reading.spec_digest(before)
