import inspect
from pathlib import Path

from integrations.delivery.spinnaker.steps import names, table

FOLDER = Path(inspect.getfile(table)).parent


def test_every_step_that_has_a_file_is_listed_under_its_own_name() -> None:
    listed = {Path(inspect.getfile(kind)).stem: kind.name for kind in table.KINDS}
    assert set(listed) == {file.stem for file in FOLDER.glob("*.py") if "(SpinnakerStep):" in file.read_text(encoding="utf-8")}
    assert all(stem == name for stem, name in listed.items())


def test_every_name_has_its_step() -> None:
    assert set(table.STEPS) == {value for name, value in vars(names).items() if name.isupper()}
    assert len(table.STEPS) == len(table.KINDS)
