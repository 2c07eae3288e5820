import json
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from service.cli.app import run
from service.cli.terminal import Terminal
from tests.unit.service.cli.conftest import Ran


def backout(*arguments: str, stdin: bytes = b"", **environment: str) -> Ran:
    stdout, stderr = StringIO(), StringIO()
    terminal = Terminal(stdin=TextIOWrapper(BytesIO(stdin)), stdout=stdout, stderr=stderr, environment=environment)
    code = run(("schema", "check", *arguments), terminal)
    return Ran(code=code, out=stdout.getvalue(), err=stderr.getvalue())


@pytest.mark.parametrize(
    ("sql", "code", "strict"),
    [
        (b"CREATE TABLE a (b int)", 0, 0),
        (b"ALTER TABLE a ALTER b SET NOT NULL", 0, 3),
        (b"DROP TABLE a", 3, 3),
        (b"DROP TABLE a; DO $$ x $$", 3, 3),
        (b"FROBNICATE", 5, 5),
        (b"SELECT '\xff'", 5, 5),
    ],
)
@pytest.mark.parametrize("form", ["text", "json", "sarif", "junit", "github"])
def test_the_exit_code_is_the_verdict_in_every_form(sql: bytes, code: int, strict: int, form: str) -> None:
    options = ("--dialect", "postgres", "--format", form, "-")
    assert (backout(*options, stdin=sql).code, backout("--strict", *options, stdin=sql).code) == (code, strict)


def test_files_of_one_call_are_read_together(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").write_text("CREATE TABLE a (b int)", encoding="utf-8")
    (tmp_path / "2_a.up.sql").write_text("ALTER TABLE a DROP COLUMN b", encoding="utf-8")
    assert backout("--dialect", "mysql", str(tmp_path)).code == 0
    assert backout("--dialect", "mysql", str(tmp_path / "2_a.up.sql")).code == 3


def test_json_and_sarif_are_one_document_each() -> None:
    assert backout("--format", "json", "-", stdin=b"DROP TABLE a").document["verdict"] == "breaks"
    assert backout("--format", "sarif", "-", stdin=b"DROP TABLE a").document["runs"][0]["results"][0]["ruleId"] == "table_dropped"


def test_rows_are_answered_and_the_code_is_zero_whatever_they_hold() -> None:
    ran = backout("--format", "jsonl", "-", stdin=b'{"id":1,"dialect":"mysql","sql":"DROP TABLE a"}\nnonsense\n{"id":2,"dialect":"mysql","sql":"SELECT 1"}')
    assert ran.code == 0
    assert [json.loads(line)["verdict"] for line in ran.out.splitlines()] == ["breaks", "unknown", "safe"]


def test_files_are_answered_one_by_one_as_rows(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("CREATE TABLE a (b int)", encoding="utf-8")
    (tmp_path / "2_b.sql").write_text("DROP TABLE b", encoding="utf-8")
    ran = backout("--format", "jsonl", str(tmp_path))
    assert [(Path(one["id"]).name, one["verdict"]) for one in map(json.loads, ran.out.splitlines())] == [("1_a.sql", "safe"), ("2_b.sql", "breaks")]
    assert ran.code == 0


def test_github_gets_annotations_and_the_jobs_summary(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    ran = backout("--format", "github", "-", stdin=b"DROP TABLE a", GITHUB_STEP_SUMMARY=str(summary))
    assert ran.out.splitlines()[1].startswith("::error file=stdin.sql,line=1,title=table_dropped::Drops table a.")
    assert summary.read_text(encoding="utf-8").startswith("before\n## backout schema check\n")
    assert "Drops table a" in summary.read_text(encoding="utf-8")
    broken = backout("--format", "github", "-", stdin=b"SELECT 1", GITHUB_STEP_SUMMARY=str(tmp_path / "none" / "x"))
    assert (broken.code, "summary cannot be written" in broken.err) == (1, True)


@pytest.mark.parametrize("arguments", [("--dialect", "oracle", "-"), ("missing.sql",), ("--format", "xml", "-"), ()])
def test_wrong_usage_is_code_two(arguments: tuple[str, ...]) -> None:
    assert backout(*arguments, stdin=b"SELECT 1").code == 2


def test_the_dialect_is_taken_from_the_text_unless_it_is_named() -> None:
    sql = b"ALTER TABLE `a` MODIFY COLUMN b longtext"
    assert backout("-", stdin=sql).code == 0
    assert backout("--dialect", "postgresql", "-", stdin=sql).code == 5


def test_it_needs_no_service_no_settings_and_nothing_of_them_is_loaded() -> None:
    code = (
        "import sys; from service.cli.app import run; from service.cli.terminal import Terminal; run(['schema', 'check', '-'], Terminal());"
        "heavy = {'aiohttp', 'sqlalchemy', 'alembic', 'dbos', 'kubernetes_asyncio'}; ours = ('wiring', 'engine', 'api', 'store', 'settings');"
        "sys.exit(any(name.split('.')[0] in heavy or name.startswith(tuple('service.' + one for one in ours)) for name in sys.modules))"
    )
    root = Path(__file__).parents[5]
    ran = subprocess.run([sys.executable, "-c", code], input=b"ALTER TABLE a ADD b int", check=False, capture_output=True, cwd=root, timeout=100)
    assert (ran.returncode, ran.stdout.startswith(b"SAFE")) == (0, True), ran.stderr


def test_a_reader_that_goes_away_is_no_success() -> None:
    class Gone(StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    terminal = Terminal(stdin=TextIOWrapper(BytesIO(b"SELECT 1")), stdout=Gone(), stderr=StringIO(), environment={})
    assert run(("schema", "check", "-"), terminal) == 1


def test_a_dump_of_the_schema_before_decides_what_the_text_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").write_text("ALTER TABLE o ALTER a TYPE varchar(10)", encoding="utf-8")
    dump = tmp_path / "dump.sql"
    options = ("--dialect", "postgres", "--schema", str(dump), str(tmp_path / "1_a.up.sql"))
    for length, code in ((20, 3), (10, 0)):
        dump.write_text(f"CREATE TABLE o (a varchar({length}))", encoding="utf-8")
        assert backout(*options).code == code


def test_a_dump_that_cannot_be_read_is_no_dump_that_was_not_given(tmp_path: Path) -> None:
    migration, dump = tmp_path / "1_a.up.sql", tmp_path / "dump.sql"
    migration.write_text("DROP INDEX i", encoding="utf-8")
    (tmp_path / "link.sql").symlink_to(dump)
    for content, options, why in [
        (b"\xff", ("--dialect", "postgres"), "it is not UTF-8"),
        (b"SELECT 1", ("--dialect", "postgres"), "it makes no table that is understood here"),
        (b"CREATE TABLE o (a int)", (), "say --dialect postgres, mysql or sqlite"),
    ]:
        dump.write_bytes(content)
        ran = backout(*options, "--schema", str(dump), str(migration))
        assert (ran.code, why in ran.err) == (2, True), ran.err
    assert "it is not there" in backout("--schema", str(tmp_path / "nowhere"), str(migration)).err
    assert "--schema goes with files" in backout("--dialect", "postgres", "--schema", str(dump), "--format", "jsonl", "-", stdin=b"{}").err


def test_of_several_files_nobody_knows_which_the_old_release_has_unless_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "V1__a.sql").write_text("ALTER TABLE a ADD COLUMN c int;", encoding="utf-8")
    (tmp_path / "V2__a.sql").write_text("ALTER TABLE a DROP COLUMN c;", encoding="utf-8")
    named = (str(tmp_path / "V1__a.sql"), str(tmp_path / "V2__a.sql"))
    options = ("--dialect", "postgres")
    folder = backout(*options, str(tmp_path))
    assert (folder.code, "drops column a.c; an earlier file here made that" in folder.out) == (0, True)
    assert backout(*options, "--strict", str(tmp_path)).code == 3
    assert backout(*options, "--strict", "--range", str(tmp_path)).code == 0
    assert backout(*options, "--each", str(tmp_path)).code == 3
    assert backout(*options, "--strict", *named).code == 3
    assert backout(*options, "--strict", "--range", *named).code == 0
    assert backout(*options, "--each", "--range", *named).code == 2


def test_each_file_is_held_against_what_the_earlier_ones_made(tmp_path: Path) -> None:
    (tmp_path / "V1__a.sql").write_text("CREATE TABLE `a` (c varchar(20));", encoding="utf-8")
    (tmp_path / "V2__a.sql").write_text("ALTER TABLE a MODIFY c varchar(10);", encoding="utf-8")
    answer = backout("--dialect", "mysql", "--each", str(tmp_path))
    assert (answer.code, "from varchar(20) to varchar(10)" in answer.out) == (3, True)
    assert "an earlier file here made that" in backout("--dialect", "mysql", str(tmp_path)).out
    assert backout("--each", str(tmp_path)).code == 3
