import inspect
from pathlib import Path

from integrations.delivery.argocd import steps
from integrations.delivery.argocd.steps import names

FOLDER = Path(inspect.getfile(steps)).parent


def test_every_step_that_has_a_file_is_listed() -> None:
    listed = {Path(inspect.getfile(kind)).stem for kind in steps.KINDS}
    assert listed == {file.stem for file in FOLDER.glob("*.py") if any(f"({base}):" in file.read_text(encoding="utf-8") for base in ("ArgoStep", "RollBack"))}


def test_every_step_has_its_own_name_for_ever() -> None:
    assert set(steps.STEPS) == {value for name, value in vars(names).items() if name.isupper()}
    assert len(steps.STEPS) == len(steps.KINDS)


def test_a_step_is_named_as_its_file() -> None:
    assert all(Path(inspect.getfile(kind)).stem == kind.name for kind in steps.KINDS)
