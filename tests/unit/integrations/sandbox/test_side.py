import stat
from pathlib import Path

from integrations.sandbox.side import deployment, write_private


def test_a_shop_is_a_deployment_whose_pods_its_selector_finds() -> None:
    made = deployment("web", "registry/web@sha256:1", 2)
    template = made["spec"]["template"]
    assert made["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert (made["spec"]["replicas"], [one["image"] for one in template["spec"]["containers"]]) == (2, ["registry/web@sha256:1"])


def test_a_private_file_is_its_owners_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "token", "secret")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert (tmp_path / "token").read_text(encoding="utf-8") == "secret\n"
