import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_each, read_folder, read_range


def files(*texts: str) -> list[MigrationFile]:
    return [MigrationFile(path=f"db/migrations/V{number}__a.sql", change=Change.ADDED, text=text) for number, text in enumerate(texts, start=1)]


def rules(reading: SchemaReading) -> list[tuple[str, str]]:
    return [(one.rule, one.verdict.value) for one in reading.statements]


MAKES, ADDS, DROPS = "create table a (b int);", "alter table a add column c int;", "alter table a drop column c;"


def test_what_is_made_and_dropped_between_two_files_cancels_only_where_both_are_new() -> None:
    two = files(ADDS, DROPS)
    assert read_range(two, Dialect.POSTGRES).verdict is SchemaVerdict.SAFE
    folder = read_folder(two, Dialect.POSTGRES)
    assert folder.verdict is SchemaVerdict.WARN
    assert [(one.rule, one.line, one.path) for one in folder.statements if one.verdict is SchemaVerdict.WARN] == [
        ("made_by_an_earlier_file", 1, "db/migrations/V2__a.sql")
    ]
    assert "drops column a.c; an earlier file here made that" in folder.statements[1].says
    assert read_each(two, Dialect.POSTGRES).verdict is SchemaVerdict.BREAKS


@pytest.mark.parametrize("read", [read_folder, read_each], ids=["folder", "each"])
def test_what_one_file_makes_and_takes_away_itself_cancels_as_ever(read: object) -> None:
    assert callable(read)
    assert read(files(f"{ADDS}\n{DROPS}", "select 1;"), Dialect.POSTGRES).verdict is SchemaVerdict.SAFE


def test_a_change_of_an_earlier_files_table_is_told_with_what_it_would_break() -> None:
    folder = read_folder(files(MAKES, "alter table a alter column b type text;", "alter table a add column d int not null;"), Dialect.POSTGRES)
    assert [one.rule for one in folder.statements[1:]] == ["made_by_an_earlier_file", "made_by_an_earlier_file"]


def test_what_breaks_by_itself_breaks_in_a_folder_too() -> None:
    assert read_folder(files(MAKES, "drop table other;"), Dialect.POSTGRES).verdict is SchemaVerdict.BREAKS


def test_a_harmless_folder_stays_harmless_and_one_file_is_what_it_is() -> None:
    assert read_folder(files(MAKES, "create table d (e int);", "alter table a add column c int;"), Dialect.POSTGRES).verdict is SchemaVerdict.SAFE
    for text in (DROPS, MAKES):
        (one,) = files(text)
        assert rules(read_folder([one], Dialect.POSTGRES)) == rules(read_each([one], Dialect.POSTGRES)) == rules(read_range([one], Dialect.POSTGRES))


def test_promise_1_no_statement_of_a_folder_is_better_than_in_the_range() -> None:
    several = files(MAKES, ADDS, DROPS, "update a set b = 1;", "do $$ begin end $$;", "drop table a;")
    as_range = {(one.path, one.line): one.verdict.severity for one in read_range(several, Dialect.POSTGRES).statements}
    for one in read_folder(several, Dialect.POSTGRES).statements:
        assert one.verdict.severity >= as_range[one.path, one.line]


def test_a_name_that_is_given_back_in_another_file_is_no_name_that_never_changed() -> None:
    back = read_folder(files("alter table a rename to b;", "alter table b rename to a;"), Dialect.POSTGRES)
    assert back.verdict in {SchemaVerdict.WARN, SchemaVerdict.BREAKS}


def test_a_statement_that_is_told_in_parts_is_warned_of_once() -> None:
    add = 'migrations.AddField(model_name="order", name="channel", field=models.CharField(max_length=8, default="web"))'
    head = "from django.db import migrations, models\n\nclass Migration(migrations.Migration):\n    operations = ["
    first = 'migrations.CreateModel(name="Order", fields=[("id", models.BigAutoField(primary_key=True))])'
    two = [
        MigrationFile(path=f"shop/migrations/000{number}_a.py", change=Change.ADDED, text=f"{head}{one}]\n") for number, one in enumerate((first, add), start=1)
    ]
    assert [one.rule for one in read_folder(two, Dialect.POSTGRES).statements].count("made_by_an_earlier_file") == 1
