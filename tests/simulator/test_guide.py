"""The guide tells the truth: its examples work, and it leaves nothing out."""

import re
import subprocess
from pathlib import Path

import pytest

from runners.simulator import Simulator, control
from runners.simulator.faults import KINDS

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "guide" / "simulator.md").read_text(encoding="utf-8")
STATUS_ONLY = 'curl -s -o /dev/null -w "%{http_code} %{url}\\n" '


def test_every_example_of_the_guide_works(sim: Simulator) -> None:
    job = sim.queue_job()
    blocks = [b for b in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) if "python -m" not in b]
    script = "\n".join(blocks).replace("curl -s ", STATUS_ONLY).replace("/1042/", f"/{job.id}/")
    script = re.sub(r"^SIM=.*$", f"SIM={sim.url}", script, flags=re.MULTILINE)
    script = re.sub(r"^TOKEN=.*$", f"TOKEN={sim.token}", script, flags=re.MULTILINE)
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, check=True)
    answers = done.stdout.splitlines()
    assert len(answers) > 20
    assert [answer for answer in answers if not answer.startswith("20")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_guide_explains_every_fault(kind: str) -> None:
    assert f"`{kind}`" in GUIDE


def test_guide_mentions_everything_the_control_api_does() -> None:
    missing = [
        route.pattern
        for route in control.ROUTES
        if route.pattern.split("/{")[0].removesuffix("/log") not in GUIDE
    ]
    assert missing == []


def test_guide_names_every_option() -> None:
    program = (ROOT / "runners" / "simulator" / "__main__.py").read_text(encoding="utf-8")
    options = set(re.findall(r'"(--[a-z-]+)"', program))
    assert {option for option in options if option not in GUIDE} == set()
    assert len(options) > 10


def test_simulator_imports_nothing_of_the_dashboard() -> None:
    modules = (ROOT / "runners" / "simulator").glob("*.py")
    imports = re.compile(r"^(?:from|import) (runners\.[\w.]+|django[\w.]*)", re.MULTILINE)
    found = {name for module in modules for name in imports.findall(module.read_text("utf-8"))}
    assert {name for name in found if not name.startswith("runners.simulator")} == set()
