"""The agent's own errors: each message says what happened and what to do."""


class AgentError(Exception):
    """Something expected went wrong; the message is fit for an operator and holds no secret.

    ``cause`` is one of the protocol's codes (``causes.Cause``), "" when there is none for it.
    """

    cause = ""
