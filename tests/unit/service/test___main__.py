import os
import subprocess
import sys


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    here = {**os.environ, "BACKOUT_SERVER": "http://127.0.0.1:1", **environment}
    return subprocess.run([sys.executable, "-m", "service", *arguments], capture_output=True, text=True, check=False, timeout=60, env=here)


def test_the_module_is_the_command_line_and_its_exit_code_is_the_processs() -> None:
    assert run("version").stdout.startswith("backout ")
    failed = run("targets")
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "backout: no service at http://127.0.0.1:1 (connection refused)",
        "  next: start it with `backout serve --config backout.yaml`, or set --server",
    ]
    assert run("chek").returncode == 2


def test_a_terminal_that_cannot_show_a_sign_does_not_end_the_command() -> None:
    shown = run("help", "settings", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert "stop_file" in shown.stdout


def test_the_console_script_is_this_function() -> None:
    from importlib.metadata import entry_points  # noqa: PLC0415  only here

    from service.__main__ import main  # noqa: PLC0415  only here

    assert [one.load() for one in entry_points(group="console_scripts", name="backout")] == [main]
