"""The service script: `svc.sh`, made from the package's template at configuration time."""

from urllib.parse import urlsplit

from .install import Install

UNIT_CHARACTERS = 150
TEMPLATE = "systemd.svc.sh.template"


def service_unit(url: str, runner_name: str) -> str:
    """The unit's name, `actions.runner.<owner>-<repo>.<name>.service`, cut to 150 characters."""
    scope = "-".join(part for part in urlsplit(url).path.split("/") if part)
    ending = ".service"
    stem = f"actions.runner.{scope}.{runner_name}".replace(" ", "_")
    return stem[: UNIT_CHARACTERS - len(ending)] + ending


def write_service_script(install: Install, url: str, runner_name: str) -> None:
    """Write an executable `svc.sh` for this runner."""
    scope = "-".join(part for part in urlsplit(url).path.split("/") if part)
    text = (install.root / "bin" / TEMPLATE).read_text("utf-8")
    text = text.replace("{{SvcNameVar}}", service_unit(url, runner_name))
    text = text.replace("{{SvcDescription}}", f"GitHub Actions Runner ({scope}.{runner_name})")
    script = install.root / "svc.sh"
    script.write_text(text, "utf-8")
    script.chmod(0o755)
