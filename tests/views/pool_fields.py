"""Everything a browser sends with the form of a pool that was left as it was."""

from __future__ import annotations

from runners.forms.pools import PoolForm
from runners.models import Scope


def pool_fields(scope: Scope, /, **changes: str) -> dict[str, object]:
    """The fields of a new pool named linux-x64, with these changes."""
    usual = {name: field.initial for name, field in PoolForm.base_fields.items()}
    sent = {name: str(value) for name, value in usual.items() if value is not None}
    return {**sent, "name": "linux-x64", "scope": scope.pk, **changes}
