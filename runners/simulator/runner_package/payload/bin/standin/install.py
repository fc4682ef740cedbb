"""The installed runner on disk: where its root is, what version it is, and its state files.

The root is found through symbolic links, as the official program finds its own: an installation
whose `bin` is a link writes its state beside the link's target.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SETTINGS, CREDENTIALS, RSA_PARAMETERS = ".runner", ".credentials", ".credentials_rsaparams"
SERVICE = ".service"
LOCAL_FILES = (CREDENTIALS, RSA_PARAMETERS, SETTINGS)


class Settings(NamedTuple):
    """What `.runner` says; the names in the file are in camel case or, from JIT, capitalised."""

    agent_id: int
    agent_name: str
    pool_id: int
    pool_name: str
    server_url: str
    github_url: str
    work_folder: str
    ephemeral: bool
    disable_update: bool


class Package(NamedTuple):
    """What this build is: version, `linux`, `x64`, and the commit it names."""

    version: str
    os: str
    architecture: str
    commit: str

    @property
    def os_label(self) -> str:
        """GitHub's word for the operating system: `Linux`, `macOS`, `Windows`."""
        return {"linux": "Linux", "osx": "macOS", "win": "Windows"}.get(self.os, self.os)


class Install:
    """One unpacked runner."""

    def __init__(self, root: Path) -> None:
        """Look at `root`; nothing is read yet."""
        self.root = root

    @classmethod
    def of_this_process(cls) -> "Install":
        """The installation that holds this very file, links resolved."""
        return cls(Path(os.path.realpath(__file__)).parents[2])

    def package(self) -> Package:
        """Read `bin/runner.version`: version, operating system, architecture, commit."""
        version, system, architecture, commit = (
            (self.root / "bin" / "runner.version").read_text("utf-8").split()
        )
        return Package(version, system, architecture, commit)

    @property
    def configured(self) -> bool:
        """Whether `.runner` is there."""
        return (self.root / SETTINGS).is_file()

    @property
    def service_name(self) -> str:
        """The unit's name while a service is installed, else nothing."""
        path = self.root / SERVICE
        return path.read_text("utf-8-sig").strip() if path.is_file() else ""

    def settings(self) -> Settings:
        """Read `.runner`; raises ValueError when it is not JSON."""
        found = {key.lower(): value for key, value in self._load(SETTINGS).items()}

        def text(name: str) -> str:
            return str(found.get(name) or "")

        return Settings(
            agent_id=int(text("agentid") or 0),
            agent_name=text("agentname"),
            pool_id=int(text("poolid") or 0),
            pool_name=text("poolname"),
            server_url=text("serverurl"),
            github_url=text("githuburl"),
            work_folder=text("workfolder") or "_work",
            ephemeral=text("ephemeral").lower() == "true",
            disable_update=text("disableupdate").lower() == "true",
        )

    def client_secret(self) -> str:
        """The runner's secret from `.credentials`; raises ValueError when it holds none."""
        data = self._load(CREDENTIALS).get("Data")
        found = data if isinstance(data, dict) else {}
        for key, value in found.items():
            if str(key).lower() == "clientsecret":
                return str(value)
        raise ValueError("No clientSecret in .credentials")

    def write_jit(self, encoded: str) -> None:
        """Write the files of a JIT configuration, byte for byte; raises ValueError if malformed."""
        files = json.loads(base64.b64decode(encoded, validate=True))
        for name, content in dict(files).items():
            if "/" in name or name in ("", ".", ".."):
                raise ValueError("A JIT configuration may only name files of the runner's root")
            self._write(name, base64.b64decode(content, validate=True))

    def save(self, name: str, content: Mapping[str, object]) -> None:
        """Write a state file as config.sh does: JSON with a UTF-8 byte order mark."""
        self._write(name, json.dumps(content, indent=2).encode("utf-8-sig"))

    def delete_local_files(self) -> list[tuple[str, bool]]:
        """Delete credentials and settings; answers which were there, in order."""
        outcome = []
        for name in LOCAL_FILES:
            path = self.root / name
            outcome.append((name, path.is_file()))
            path.unlink(missing_ok=True)
        return outcome

    def _load(self, name: str) -> dict[str, object]:
        parsed = json.loads((self.root / name).read_text("utf-8-sig"))
        if not isinstance(parsed, dict):
            raise ValueError(f"{name} is not a JSON object")
        return parsed

    def _write(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.unlink(missing_ok=True)
        mode = 0o600 if name == RSA_PARAMETERS else 0o644
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def load_environment_file(root: Path) -> None:
    """Set the `KEY=value` lines of `.env` in this process; an empty value unsets the key."""
    path = root / ".env"
    if not path.is_file():
        return
    for line in path.read_text("utf-8-sig").splitlines():
        key, separator, value = line.partition("=")
        if not key or not separator:
            continue
        if value:
            os.environ[key] = value
        else:
            os.environ.pop(key, None)
