"""Names the unchanged files that readers of changed migrations need.

They are the tool's configuration, its dump of the schema, and earlier migrations where a change is told against them.
Paths only. Whoever has the tree passes a way to list a folder, and reads the texts; a text that cannot be had stays away, and the reader says unknown.
"""

from collections.abc import Callable, Iterable, Sequence

from service.domain.schema.dumps import dumps_of
from service.domain.schema.layouts import Role, Tool, recognise

CONFIGURATION = (
    "alembic.ini",
    "pyproject.toml",
    "flyway.conf",
    "flyway.toml",
    "conf/flyway.conf",
    "liquibase.properties",
    "sqitch.conf",
    "atlas.hcl",
    "ormconfig.json",
    "knexfile.js",
    "knexfile.ts",
    "schema.prisma",
    "prisma/schema.prisma",
    "config/database.yml",
    "diesel.toml",
    ".sequelizerc",
)
"""Where tools are told which database they speak to and where migrations are, as paths below a folder that a migration is in or below."""
MAX_FILES = 3_000


def beside(changed: Iterable[str], names_in: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """Return the paths to read, at most `MAX_FILES`, in the order of need. `names_in` lists a folder, folders in it with a closing slash; "" is the top."""
    found: dict[str, None] = {}
    looked, searched, dumped = set[str](), set[str](), set[str]()
    for path in changed:
        recognised = recognise(path)
        if recognised is None or recognised.role is Role.BACKWARD:
            continue
        folder = path.rpartition("/")[0]
        if recognised.tool in {Tool.DJANGO, Tool.ALEMBIC} and folder not in looked:
            looked.add(folder)
            found.update(dict.fromkeys(f"{folder}/{name}" for name in names_in(folder) if name.endswith(".py") and name != "__init__.py"))
            found[f"{folder.rpartition('/')[0]}/apps.py".lstrip("/")] = None
        if recognised.root not in dumped:
            dumped.add(recognised.root)
            above = recognised.root.rpartition("/")[0]
            here = set(names_in(above)) if dumps_of(recognised.tool, recognised.root) else set()
            found.update(dict.fromkeys(dump for dump in dumps_of(recognised.tool, recognised.root) if dump.rpartition("/")[2] in here))
        for above in _upwards(folder):
            if above not in searched:
                searched.add(above)
                found.update(dict.fromkeys(_configuration(above, names_in)))
    return tuple(found)[:MAX_FILES]


def _upwards(folder: str) -> Iterable[str]:
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _configuration(folder: str, names_in: Callable[[str], Sequence[str]]) -> Iterable[str]:
    prefix = f"{folder}/" if folder else ""
    names = set(names_in(folder))
    for path in CONFIGURATION:
        first, _, rest = path.partition("/")
        if (f"{first}/" if rest else first) in names:
            yield prefix + path
    if "manage.py" in names:  # Django's settings stand in a folder beside it
        for inner in sorted(name for name in names if name.endswith("/")):
            inside = names_in(prefix + inner.rstrip("/"))
            if "settings.py" in inside:
                yield f"{prefix}{inner}settings.py"
            if "settings/" in inside:
                yield from (f"{prefix}{inner}settings/{name}" for name in names_in(f"{prefix}{inner}settings") if name.endswith(".py"))
