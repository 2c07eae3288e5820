import inspect
from pathlib import Path

from integrations.delivery.argocd.steps import names, table

FOLDER = Path(inspect.getfile(table)).parent


def test_every_step_that_has_a_file_is_listed() -> None:
    listed = {Path(inspect.getfile(kind)).stem for kind in table.KINDS}
    assert listed == {file.stem for file in FOLDER.glob("*.py") if any(f"({base}):" in file.read_text(encoding="utf-8") for base in ("ArgoStep", "RollBack"))}


def test_every_step_has_its_own_name_for_ever() -> None:
    assert set(table.STEPS) == {value for name, value in vars(names).items() if name.isupper()}
    assert len(table.STEPS) == len(table.KINDS)


def test_a_step_is_named_as_its_file() -> None:
    assert all(Path(inspect.getfile(kind)).stem == kind.name for kind in table.KINDS)
