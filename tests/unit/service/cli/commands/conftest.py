"""Settings that start a service, in a folder of their own."""

from pathlib import Path

import pytest


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    keys, file = tmp_path / "keys.json", tmp_path / "backout.yaml"
    keys.write_text('{"keys": []}', encoding="utf-8")
    (tmp_path / "token").write_text("t", encoding="utf-8")
    file.write_text(
        "\n".join(
            (
                f"store: sqlite:///{tmp_path}/backout.db",
                f"stop_file: {tmp_path}/STOP",
                f"auth: {{keys_file: {keys}}}",
                "delivery:",
                f'  - {{kind: argocd, name: prod, url: "http://127.0.0.1:1", token_file: {tmp_path}/token}}',
            )
        ),
        encoding="utf-8",
    )
    return file
