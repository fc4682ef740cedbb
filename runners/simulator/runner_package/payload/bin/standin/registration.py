"""config.sh: register with the server, write the state files, and take it all back.

Every refusal is one line on standard error and exit code 1, as in the official program.
"""

import os
import socket
import sys
from urllib.parse import urlsplit

from .arguments import Arguments
from .console import Terminal
from .install import CREDENTIALS, RSA_PARAMETERS, SETTINGS, Install, Package
from .service import write_service_script
from .wire import Answer, Client, Unreachable

SUCCESS, TERMINATED = 0, 1
TIMEOUT_SECONDS = 30.0
LABEL_CHARACTERS = 256
RSA_PARTS = ("d", "dp", "dq", "exponent", "inverseQ", "modulus", "p", "q")
ALREADY = (
    "Cannot configure the runner because it is already configured. To reconfigure the runner,"
    " run 'config.cmd remove' or './config.sh remove' first."
)


class ConfigurationError(Exception):
    """Why configuring or removing did not work, in words for the console."""


def configure(arguments: Arguments, install: Install, terminal: Terminal) -> int:
    """`config.sh`; answers the exit code."""
    try:
        if arguments.flag("generateserviceconfig"):
            _generate_service(install, terminal)
        else:
            _configure(arguments, install, terminal)
    except (ConfigurationError, Unreachable) as err:
        terminal.complain(str(err))
        return TERMINATED
    return SUCCESS


def remove(arguments: Arguments, install: Install, terminal: Terminal) -> int:
    """`config.sh remove`; answers the exit code."""
    if arguments.flag("local"):
        delete_local_configuration(install, terminal)
        return SUCCESS
    terminal.section("Runner removal")
    try:
        if install.service_name:
            raise ConfigurationError("Uninstall service first")
        if install.configured:
            _remove_at_server(arguments, install)
            terminal.say()
            terminal.success("Runner removed successfully")
        else:
            terminal.say(
                "Cannot connect to server, because config files are missing."
                " Skipping removing runner from the server."
            )
    except (ConfigurationError, Unreachable) as err:
        terminal.complain("Failed: Removing runner from the server")
        terminal.complain(str(err))
        return TERMINATED
    delete_local_configuration(install, terminal)
    return SUCCESS


def check(arguments: Arguments, terminal: Terminal) -> int:
    """`--check`: whether the API of `--url` answers; the exit code is 0 either way."""
    url = arguments.value("url")
    try:
        if not url:
            raise ConfigurationError("--check needs --url")
        client = Client(
            api_url(url), f"token {arguments.value('pat')}", "GitHubActionsRunner-check"
        )
        client.call("GET", "/", timeout_seconds=TIMEOUT_SECONDS)
        verdict = "P A S S"
    except (ConfigurationError, Unreachable) as err:
        terminal.complain(str(err))
        verdict = "F A I L"
    terminal.say("**  Check:               GitHub API Connection")
    terminal.say(f"**  {verdict}")
    return SUCCESS


def api_url(web_url: str) -> str:
    """The REST base of the server that a scope's web URL names."""
    parts = urlsplit(web_url)
    host = (parts.hostname or "").removeprefix("www.")
    if host == "github.com":
        return f"{parts.scheme}://api.github.com"
    if host.endswith(".ghe.com"):
        return f"{parts.scheme}://api.{host}"
    return f"{parts.scheme}://{parts.netloc}/api/v3"


def delete_local_configuration(install: Install, terminal: Terminal) -> None:
    """Delete credentials and settings, saying which were there."""
    for name, was_there in install.delete_local_files():
        if name == RSA_PARAMETERS:
            continue  # goes silently with the credentials
        if was_there:
            terminal.success(f"Removed {name}")
        else:
            terminal.say(f"Does not exist. Skipping Removing {name}")


def _configure(arguments: Arguments, install: Install, terminal: Terminal) -> None:
    terminal.say()
    terminal.say("Self-hosted runner registration")
    if install.configured:
        raise ConfigurationError(ALREADY)
    package = install.package()
    terminal.section("Authentication")
    url = _scope_url(_need(arguments, "url", "What is the URL of your repository?", ""))
    token = _token(arguments, url, "registration", "What is your runner register token?")
    terminal.say()
    terminal.success("Connected to GitHub")
    terminal.section("Runner Registration")
    request = _registration(arguments, url, package)
    answer = _post_registration(url, token, request, package)
    if answer.status == 409:
        terminal.say("A runner exists with the same name")
        raise ConfigurationError(f"A runner exists with the same name {request['name']}.")
    if answer.status != 201:
        raise ConfigurationError(_refusal(answer, url))
    replaced = bool(answer.body.get("replaced"))
    terminal.success(
        "Successfully replaced the runner" if replaced else "Runner successfully added"
    )
    terminal.section("Runner settings")
    _save(install, request, answer)
    write_service_script(install, url, str(request["name"]))
    (install.root / str(request["work_folder"])).mkdir(parents=True, exist_ok=True)
    terminal.success("Settings Saved.")
    terminal.say()


def _registration(arguments: Arguments, url: str, package: Package) -> dict[str, object]:
    labels = [part.strip() for part in arguments.value("labels").split(",") if part.strip()]
    if any(len(label) > LABEL_CHARACTERS for label in labels):
        raise ConfigurationError(f"A label is longer than {LABEL_CHARACTERS} characters")
    if arguments.flag("no-default-labels") and not labels:
        raise ConfigurationError(
            "Disabling default labels via --no-default-labels without specifying --labels"
            " is not supported"
        )
    default_name = socket.gethostname()
    return {
        "url": url,
        "name": _need(arguments, "name", "Enter the name of runner:", default_name),
        "labels": labels,
        "no_default_labels": arguments.flag("no-default-labels"),
        "runner_group": arguments.value("runnergroup"),
        "ephemeral": arguments.flag("ephemeral"),
        "replace": arguments.flag("replace"),
        "version": package.version,
        "os": package.os_label,
        "architecture": package.architecture.upper(),
        "disable_update": arguments.flag("disableupdate"),
        "work_folder": _need(arguments, "work", "Enter name of work folder:", "_work"),
    }


def _post_registration(
    url: str, token: str, request: dict[str, object], package: Package
) -> Answer:
    client = Client(api_url(url), f"RemoteAuth {token}", f"GitHubActionsRunner/{package.version}")
    return client.call(
        "POST", "/actions/runners/register", request, timeout_seconds=TIMEOUT_SECONDS
    )


def _save(install: Install, request: dict[str, object], answer: Answer) -> None:
    granted = answer.body
    settings: dict[str, object] = {
        "agentId": granted.get("runner_id"),
        "agentName": request["name"],
        "poolId": granted.get("pool_id"),
        "poolName": granted.get("pool_name"),
        "serverUrl": granted.get("server_url"),
        "gitHubUrl": request["url"],
        "workFolder": request["work_folder"],
        "useV2Flow": True,
        "serverUrlV2": granted.get("server_url"),
    }
    # The official file leaves out what has its default value.
    if request["ephemeral"]:
        settings["ephemeral"] = True
    if request["disable_update"]:
        settings["disableUpdate"] = True
    credentials = {
        "Scheme": "OAuth",
        "Data": {
            "clientId": granted.get("client_id"),
            "authorizationUrl": f"{granted.get('server_url')}/_runner/oauth",
            "clientSecret": granted.get("client_secret"),
        },
    }
    install.save(CREDENTIALS, credentials)
    install.save(RSA_PARAMETERS, {part: os.urandom(32).hex() for part in RSA_PARTS})
    install.save(SETTINGS, settings)


def _remove_at_server(arguments: Arguments, install: Install) -> None:
    settings = install.settings()
    url = settings.github_url
    token = _token(arguments, url, "remove", "Enter runner remove token:")
    client = Client(api_url(url), f"RemoteAuth {token}", "GitHubActionsRunner")
    answer = client.call(
        "POST",
        "/actions/runner-registration",
        {"url": url, "runner_event": "remove", "runner_id": settings.agent_id},
        timeout_seconds=TIMEOUT_SECONDS,
    )
    # Gone already is what we want; a refusal of the token is a 401.
    if answer.status not in (200, 204, 404):
        raise ConfigurationError(_refusal(answer, url))


def _token(arguments: Arguments, url: str, kind: str, question: str) -> str:
    pat = arguments.value("pat")
    if not pat:
        return _need(arguments, "token", question, "")
    parts = [part for part in urlsplit(url).path.split("/") if part]
    if len(parts) == 1:
        scope = f"/orgs/{parts[0]}"
    elif parts[0].lower() == "enterprises":
        scope = f"/enterprises/{parts[1]}"
    else:
        scope = f"/repos/{parts[0]}/{parts[1]}"
    client = Client(api_url(url), f"token {pat}", "GitHubActionsRunner")
    answer = client.call(
        "POST", f"{scope}/actions/runners/{kind}-token", timeout_seconds=TIMEOUT_SECONDS
    )
    if answer.status != 201:
        raise ConfigurationError(_refusal(answer, url))
    return str(answer.body.get("token"))


def _need(arguments: Arguments, name: str, question: str, default: str) -> str:
    """A value: given, asked for, or the default; raises when unattended and there is none."""
    value = arguments.value(name)
    if not value and not arguments.flag("unattended") and sys.stdin.isatty():
        hint = f" [press Enter for {default}] " if default else " "
        value = input(question + hint).strip()
    value = value or default
    if not value:
        raise ConfigurationError(
            f"Invalid configuration provided for {name}. Terminating unattended configuration."
        )
    return value


def _scope_url(url: str) -> str:
    parts = urlsplit(url)
    path = [part for part in parts.path.split("/") if part]
    if parts.scheme not in ("http", "https") or not parts.hostname or len(path) not in (1, 2):
        raise ConfigurationError(f"'{url}' should point to an org or repository.")
    return url.rstrip("/")


def _generate_service(install: Install, terminal: Terminal) -> None:
    if not install.configured:
        raise ConfigurationError(
            "--generateServiceConfig requires that the runner is already configured."
        )
    settings = install.settings()
    write_service_script(install, settings.github_url, settings.agent_name)
    terminal.say("Service script written to svc.sh")


def _refusal(answer: Answer, url: str) -> str:
    return f"Http response code: {answer.status} from 'POST {api_url(url)}': {answer.message}"
