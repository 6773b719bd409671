"""`portfolio ui`: Dagster's web page and daemon on this installation."""

import os
import subprocess
import sys

from portfolio_pipelines.automation.instance import dagster_environment
from portfolio_pipelines.commands.console import OUT
from portfolio_pipelines.settings import PROJECT_ROOT, Settings


def serve(settings: Settings, host: str, port: int) -> int:
    """Run `dagster dev` until it is stopped; its exit status.

    The workspace file is named explicitly: a tool.dg section in pyproject.toml would win over it.
    """
    environment = {**os.environ, **dagster_environment(settings), "PORTFOLIO_HOME": str(settings.home.absolute())}
    OUT.print(f"Dagster opens on http://{host}:{port} (stop with Ctrl-C)")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(PROJECT_ROOT / "workspace.yaml")]
    try:
        return subprocess.run([*command, "-h", host, "-p", str(port)], env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0
