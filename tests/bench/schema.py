"""How fast migrations are read: rows a second and megabytes a second of `backout schema check` as a program, from its start to its last answer, on one core.

Rows are single statements of at most 200 bytes, every kind in its share; files are made of the same statements and kept under the limit of one file.
"""

import asyncio
import itertools
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Figure

ROWS = 40_000
FILE_BYTES = 900_000
FILES = 4
STATEMENTS = (
    ("postgres", "CREATE TABLE t{n} (id bigserial PRIMARY KEY, name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"),
    ("postgres", 'ALTER TABLE "orders" ADD COLUMN "note{n}" varchar(200) NOT NULL DEFAULT \'\''),
    ("postgres", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i{n} ON orders USING btree (state, created_at) WHERE state <> 'done'"),
    ("postgres", "ALTER TABLE orders DROP COLUMN IF EXISTS legacy{n}"),
    ("postgres", "ALTER TABLE orders ADD CONSTRAINT c{n} FOREIGN KEY (owner) REFERENCES users (id) ON DELETE CASCADE"),
    ("postgres", "UPDATE orders SET state = 'open' WHERE state IS NULL AND id > {n}"),
    ("mysql", "ALTER TABLE `orders` MODIFY COLUMN `note{n}` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT ''"),
    ("mysql", "ALTER TABLE `orders` ADD KEY `k{n}` (`state`, `created_at`), ALGORITHM=INPLACE, LOCK=NONE"),
    ("mysql", "INSERT INTO settings (name, value) VALUES ('limit{n}', '10')"),
    ("sqlite", "ALTER TABLE orders RENAME COLUMN a{n} TO b{n}"),
)


async def _seconds(*arguments: str, stdin: bytes, answers: int) -> float:
    """CPU seconds that one run of the command took; RuntimeError when it did not answer all."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = (sys.executable, "-m", "service", "schema", "check", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate(stdin)
    if process.returncode != 0 or out.count(b"\n") != answers:
        raise RuntimeError(f"schema check ended with {process.returncode} and {len(out.splitlines())} answers")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


async def measure(folder: Path) -> Sequence[Figure]:
    """The figures of this file."""
    kinds = itertools.cycle(STATEMENTS)
    numbered = zip(range(ROWS), kinds, strict=False)
    rows = [json.dumps({"id": number, "dialect": dialect, "sql": sql.replace("{n}", str(number))}) for number, (dialect, sql) in numbered]
    by_row = await _seconds("--format", "jsonl", "-", stdin="\n".join(rows).encode(), answers=ROWS)
    folder.mkdir(parents=True, exist_ok=True)
    texts = [sql for dialect, sql in STATEMENTS if dialect == "postgres"]
    for number in range(FILES):
        text = "".join(f"{sql.replace('{n}', str(line))};\n" for line, sql in zip(range(200), itertools.cycle(texts), strict=False))
        padding = "-- what the statements are for, at some length\n" * ((FILE_BYTES - len(text)) // 47)
        (folder / f"{number}_a.sql").write_text(text + padding, encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.glob("*.sql")) / 1e6
    by_file = await _seconds("--format", "jsonl", "--dialect", "postgres", str(folder), stdin=b"", answers=FILES)
    rate = ROWS / by_row
    return (
        Figure(what="schema check, single statements", asked="≥ 2,000 rows/s a core", measured=f"{rate:,.0f} rows/s of CPU time", holds=rate >= 2000),
        Figure(what="schema check, files with comments", asked="reported", measured=f"{size / by_file:.1f} MB/s of CPU time"),
    )
