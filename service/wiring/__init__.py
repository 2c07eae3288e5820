"""The composition root: settings, integrations and a clock in, a running service out. The only package that knows both sides.

Each entry point imports what it needs when it is called: commands that do not serve go without the engine (0.4 s) and the OpenTelemetry SDK (0.1 s).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.domain.ports import Checked


def serve(config: Path) -> int:
    """Run the service until SIGTERM or SIGINT; answers the exit code. SettingsError when the settings are wrong."""
    from service.wiring.serving import serve as run  # noqa: PLC0415  see above

    return run(config)


async def doctor(config: Path) -> list[Checked]:
    """Look at everything the service will need. Changes nothing but one test trace."""
    from service.wiring.checking import doctor as run  # noqa: PLC0415  see above

    return await run(config)


async def audit_from_store(store: str, identity: str) -> Mapping[str, Any]:
    """The trace of an operation from the store alone, as the API gives it."""
    from service.wiring.reading import audit_from_store as run  # noqa: PLC0415  see above

    return await run(store, identity)


def settings_help(path: str) -> str:
    """The settings at a path, as text."""
    from service.settings import explain  # noqa: PLC0415  see above
    from service.wiring.parts import kinds  # noqa: PLC0415  see above

    return explain(kinds(), path)


def stop_file(config: Path) -> Path | None:
    """The stop file that the settings name."""
    from service.settings import load  # noqa: PLC0415  see above
    from service.wiring.parts import kinds  # noqa: PLC0415  see above

    return load(config, kinds()).stop_file


def version() -> str:
    """This version."""
    from service.wiring.parts import VERSION  # noqa: PLC0415  see above

    return VERSION
