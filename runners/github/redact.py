"""Taking secrets out of text, for errors and logs.

Knows GitHub's token shapes (classic of 40 characters, fine-grained, stateless installation tokens
of about 520, JSON Web Tokens, JIT configs, private keys, labelled registration tokens and webhook
secrets) and any secret named by the caller. It changes text only; it never decides what is logged.
Source: GitHub Docs "GitHub's token formats", "Generating an installation access token".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"
SHORTEST_SECRET_CHARS = 6

# No pattern may start inside what another could have matched, or look ahead without a bound: this
# reads logs that strangers wrote.
_PREFIXED = r"(?:gh[pousr]_[A-Za-z0-9._-]{20,}|github_pat_[A-Za-z0-9_]{20,}|v1\.[0-9a-f]{40})"
_JWT = r"(?<![A-Za-z0-9_-])ey[A-DI-L][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
_PEM = r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
# A JIT config is base64 of a JSON object: a brace with a quote, a blank or a line break after it.
_JIT = r"e(?:y[A-DI-L]|w[k-r0-3])[A-Za-z0-9+/]{60,}={0,2}"
_WHOLE = re.compile("|".join((_PEM, _JWT, _PREFIXED, _JIT)), re.DOTALL)

# Values that are secret because of the word before them: header, JSON key, flag, form field.
_LABEL = (
    r"(?:authorization|bearer|remoteauth|(?:registration |remove )?token"
    r"|secret(?:[_-]?key)?|password|jit[_-]?config|private[_-]?key|pem)"
)
_LABELLED = re.compile(
    rf"(?P<label>\b(?:[\w-]{{0,60}}[_-])?{_LABEL}\b[\"']?)(?P<between>\s*[:=]\s*|\s+)"
    r"(?P<scheme>(?:(?:bearer|token|remoteauth|basic)\s+)?)(?P<quote>[\"']?)"
    r"(?P<value>[A-Za-z0-9+/=._~-]{8,})",
    re.IGNORECASE,
)
# A registration token is 29 capitals and digits starting with A: tell it from words by its digits.
_REGISTRATION = re.compile(r"\bA(?=[A-Z0-9]{0,27}[0-9])(?=[A-Z0-9]{0,27}[A-Z])[A-Z0-9]{28}\b")
_URL_PASSWORD = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,200}:)[^\s/@]{1,500}(?=@)", re.IGNORECASE
)


def redact(text: str, extra: Iterable[str] = ()) -> str:
    """Return `text` with every secret replaced by `***`.

    `extra` are secrets known to the caller (a webhook secret, a token of an unknown shape);
    ones shorter than six characters are ignored, for they would blank ordinary words.
    """
    for secret in sorted(set(extra), key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET_CHARS:
            text = text.replace(secret, MASK)
    text = _WHOLE.sub(MASK, text)
    text = _LABELLED.sub(_mask_value, text)
    text = _REGISTRATION.sub(MASK, text)
    return _URL_PASSWORD.sub(rf"\g<before>{MASK}", text)


def _mask_value(match: re.Match[str]) -> str:
    between = match["between"]
    if between.isspace() and not _looks_random(match["value"]):
        return match[0]
    return f"{match['label']}{between}{match['scheme']}{match['quote']}{MASK}"


def _looks_random(value: str) -> bool:
    """Tell a secret from the next word of a sentence ("token expired")."""
    return len(value) >= 20 and any(char.isdigit() for char in value)
