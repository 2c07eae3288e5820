from service.cli import render
from tests.unit.service.cli.render.printing import printed

IMAGE = '-      "image": "registry.example.com/shop/checkout@sha256:' + "b" * 64 + '",'


def document(**changes: object) -> dict[str, object]:
    item = {"kind": "manifest", "name": "apps/Deployment shop/checkout", "size": 2007, "text": IMAGE}
    one = {"at": "2026-05-04T12:01:07Z", "says": "captured before the act", "items": [item], "missing": ["log of pod checkout-1: it is gone"]}
    return {
        "captures": [one],
        "differences": [{"name": "apps/Deployment shop/checkout", "diff": f"--- a\n+++ b\n@@ -1 +1 @@\n{IMAGE}\n+{IMAGE[1:]}"}],
        **changes,
    }


def test_each_moment_says_what_it_holds_and_what_is_missing() -> None:
    shown = printed(render.captures(document()))
    assert shown.startswith("2026-05-04 12:01:07Z  captured before the act\n")
    assert "  manifest  apps/Deployment shop/checkout  2007 characters" in shown
    assert "  missing   log of pod checkout-1: it is gone" in shown


def test_a_line_of_a_manifest_or_of_a_difference_is_never_broken() -> None:
    for shown in (printed(render.captures(document())), printed(render.captures(document()), columns=80)):
        lines = shown.splitlines()
        assert f"    {IMAGE}" in lines
        assert IMAGE in lines
        assert f"+{IMAGE[1:]}" in lines
        assert "--- a" not in lines


def test_nothing_captured_is_said() -> None:
    assert printed(render.captures({})) == "nothing was captured\n"
