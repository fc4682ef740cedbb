"""The stand-in runner package: what a host downloads and runs instead of GitHub's runner.

`build.build_package(version, os, architecture)` packs `payload/`. Layout, flags, console lines,
exit codes, signals and files are those of actions/runner 2.336.0 as far as another program can
see them. The programs are Python (standard library, 3.10 or later), so any architecture runs any of
the packages.

Console, standard output unless said otherwise; `T` is `2026-01-01 00:00:00Z`, always UTC:

    √ Connected to GitHub                    said before each attempt to open a session: no proof
    Current runner version: '2.336.0'        the session is open
    T: Listening for Jobs                    GitHub shows the runner as online from here on
    T: Running job: NAME                     NAME may hold spaces and colons: take all of it
    T: Job NAME completed with result: R     R is Succeeded, Failed or Canceled
    T: Runner connect error: WHY. Retrying until reconnected.    standard error, once an outage
    T: Runner reconnected.
    Exiting...                               after SIGINT; SIGTERM is silent
    √ Removed .credentials / .runner         a one-job runner after its job
    The runner no longer exists on the server. Cleaning up local configuration.    standard error
    An error occurred: WHY                   standard error

Exit codes of `bin/Runner.Listener`: 0 done, stopped or gone; 1 terminated; 2 retryable; 3 and 4
updating (4: one-job runner); 5 session conflict; 7 version deprecated (only with
`ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1`, else 1). `run.sh` turns all but 7 into 0.

Processes: `Runner.Listener` starts one `Runner.Worker` a job. Both show under that name in
`/proc/<pid>/comm` (so psutil's `name()`) once they run, while their executable is a Python, and in
their arguments from the first instant. The worker's further arguments are `spawnclient` and two
descriptor numbers. A step runs in a session and process group
of its own, so ending the listener's group does not end it; whoever ends a runner must end the
tree. Steps carry `RUNNER_TRACKING_ID` in their environment; at the job's end the worker kills what
still does. A killed listener takes its worker with it, but not the running step. A killed worker
leaves its step too, and the listener fails the job.

The JIT configuration (`ACTIONS_RUNNER_INPUT_JITCONFIG`) is removed from the listener's environment
before anything is started, so no worker and no step inherits it. As with the official runner it
stays readable in `/proc/<pid>/environ` of the listener, and of `run.sh` where that was used, by
the same user; and the state files hold the credentials until the job is done.

The root is found through symbolic links, as the official program finds its own: link single files
or copy, but never let `bin` be a link to a shared folder, or all slots share one `.runner`.

Misbehaviour: `STANDIN_MISBEHAVE` or a job's `misbehave`, see `payload/bin/standin/faults.py`.
Durations: `STANDIN_*_SECONDS`, see `payload/bin/standin/timings.py`. Both may also stand
in the runner's `.env` file.
"""
