"""The text of `--help`."""

from .install import Package

TEXT = """
Stand-in for the self-hosted runner, version {version} ({os}-{architecture})

Commands:
 ./config.sh         Configures the runner
 ./config.sh remove  Unconfigures the runner
 ./run.sh            Runs the runner interactively. Does not require any options.

Options:
 --help     Prints the help for each command
 --version  Prints the runner version
 --commit   Prints the runner commit
 --check    Checks that the server can be reached

Config Options:
 --unattended           Never ask; a missing or bad value is an error
 --url string           Repository, organization or enterprise to add the runner to
 --token string         Registration token; remove token for remove
 --pat string           Personal access token, used to get the token
 --name string          Name of the runner (default: the host's name)
 --runnergroup string   Runner group (default: the default group)
 --labels string        Custom labels, separated by commas
 --no-default-labels    Only the custom labels
 --work string          Work directory, relative to this one (default _work)
 --replace              Replace a runner with the same name
 --ephemeral            Take one job only
 --disableupdate        Never update itself
 --local                With remove: delete the local files only

Run Options:
 --jitconfig string     Encoded JIT configuration
 --once                 Take one job, then exit (old; see --ephemeral)
"""


def usage(package: Package) -> str:
    """The help text for this build."""
    return TEXT.format(
        version=package.version, os=package.os, architecture=package.architecture
    ).strip()
