"""What an admin may change: how GitHub is reached, and who may sign in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django import forms

from runners import scopes
from runners.access import Role
from runners.connecting import free_name
from runners.credentials import NewCredential
from runners.errors import FleetError
from runners.forms import widgets
from runners.github.urls import GITHUB_API, api_base_url
from runners.models import Credential, Scope

KINDS: Final = (
    (Credential.Kind.TOKEN.value, "Personal access token"),
    (Credential.Kind.APP.value, "GitHub App"),
)
ROLES: Final = tuple((role.value, role.label) for role in Role)


class _SecretArea(forms.Textarea):
    """A secret of several lines: never given back to the page."""

    def format_value(self, value: object) -> str | None:
        return None


class SecretForm(forms.Form):
    """The secret of a credential. It goes in and never comes out: no answer holds it."""

    token = forms.CharField(
        required=False,
        strip=True,
        max_length=1000,
        label="Token",
        help_text="Begins with github_pat_ or ghp_. Stored encrypted and never shown again.",
        widget=widgets.secret_input(spellcheck="false"),
    )
    private_key = forms.CharField(
        required=False,
        strip=True,
        max_length=10_000,
        label="Private key",
        help_text="The whole .pem file of the App. Stored encrypted and never shown again.",
        widget=_SecretArea(
            attrs={
                "class": "input is-area mono",
                "rows": "4",
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": "-----BEGIN …",
            }
        ),
    )

    kind = Credential.Kind.TOKEN

    @property
    def secret(self) -> str:
        """What was entered for the kind at hand."""
        return str(self.cleaned_data["private_key" if self._is_app() else "token"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        name = "private_key" if self._is_app() else "token"
        if not cleaned.get(name) and name not in self.errors:
            self.add_error(
                name, "Paste the App's private key." if self._is_app() else "Paste the token."
            )
        return cleaned

    def _is_app(self) -> bool:
        return self.kind == Credential.Kind.APP


class ReplaceSecretForm(SecretForm):
    """A new secret for a credential of known kind; the other kind's field is left out."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, kind: str) -> None:
        super().__init__(data)
        self.kind = Credential.Kind(kind)
        del self.fields["token" if self._is_app() else "private_key"]


class NewCredentialForm(SecretForm):
    """A credential: a token, or a GitHub App with its key and where it is installed."""

    name = forms.CharField(
        required=False,
        max_length=100,
        label="Name",
        help_text="How it is called here, such as acme-app.",
        widget=widgets.text_input(autocomplete="off"),
    )
    kind_choice = forms.ChoiceField(
        choices=KINDS, initial=KINDS[0][0], label="Connect with", widget=widgets.radio()
    )
    app_id = forms.CharField(
        required=False,
        max_length=60,
        label="Client ID",
        help_text="On the App's page, such as Iv23li… (its number works too).",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    installation_id = forms.IntegerField(
        required=False,
        min_value=1,
        label="Installation ID",
        help_text="The number at the end of the installation's address.",
        widget=widgets.number_input(),
    )
    api_url = forms.CharField(
        required=False,
        max_length=200,
        initial=GITHUB_API,
        label="API address",
        help_text="https://HOST/api/v3 for GitHub Enterprise Server.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )

    needs_installation = True

    def _is_app(self) -> bool:
        return self.cleaned_data.get("kind_choice") == Credential.Kind.APP

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self._is_app():
            needed = {"app_id": "A GitHub App needs its client ID."}
            if self.needs_installation:
                needed["installation_id"] = "A GitHub App needs its installation ID."
            for name, words in needed.items():
                if not cleaned.get(name) and name not in self.errors:
                    self.add_error(name, words)
        if not cleaned.get("name") and "name" in self.fields:
            self.add_error("name", "Give it a name.")
        return cleaned

    def new_credential(self, *, name: str = "", api_url: str = "") -> NewCredential:
        """What was entered, with these in place of the fields a form left out."""
        cleaned = self.cleaned_data
        is_app = self._is_app()
        return NewCredential(
            name=name or cleaned["name"],
            kind=Credential.Kind(cleaned["kind_choice"]),
            secret=self.secret,
            api_url=api_url or cleaned.get("api_url") or GITHUB_API,
            app_id=cleaned["app_id"] if is_app else "",
            installation_id=cleaned["installation_id"] if is_app else None,
        )


def _scope_url_field() -> forms.CharField:
    return forms.CharField(
        max_length=300,
        label="Organization, repository or enterprise",
        help_text="Its address, such as https://github.com/acme or https://github.com/acme/web.",
        error_messages={"required": "Paste the address, such as https://github.com/acme."},
        widget=widgets.text_input(
            autocomplete="off", spellcheck="false", placeholder="https://github.com/acme"
        ),
    )


class ConnectForm(NewCredentialForm):
    """The first step: a scope's address and the credential that speaks for it."""

    web_url = _scope_url_field()
    # The scope is known, so GitHub can be asked which one covers it
    needs_installation = False

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, initial: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=dict(initial or {}))
        del self.fields["name"]
        del self.fields["api_url"]
        self.fields["installation_id"].help_text = "Empty: GitHub is asked for it."

    def clean_web_url(self) -> str:
        return _clean_scope_url(self.cleaned_data["web_url"])

    def credential_for_scope(self) -> NewCredential:
        """The credential, named after the scope and sent to the scope's own API."""
        web_url = self.cleaned_data["web_url"]
        slug = scopes.read_web_url(web_url)[0].slug.replace("/", "-")
        return self.new_credential(name=free_name(slug), api_url=api_base_url(web_url))


class ScopeForm(forms.Form):
    """Another scope, with a credential that is here already."""

    web_url = _scope_url_field()
    credential = forms.ModelChoiceField(
        Credential.objects.all(),
        label="Credential",
        help_text="It is asked whether it may manage runners there.",
        empty_label=None,
        widget=widgets.select(),
    )
    runner_group_id = forms.IntegerField(
        initial=1,
        min_value=1,
        label="Runner group ID",
        help_text="1 is the group Default.",
        widget=widgets.number_input(),
    )
    runner_group_name = forms.CharField(
        initial="Default",
        max_length=100,
        label="Runner group name",
        widget=widgets.text_input(autocomplete="off"),
    )

    def clean_web_url(self) -> str:
        return _clean_scope_url(self.cleaned_data["web_url"])


def _clean_scope_url(text: str) -> str:
    """The address tidied; refused with the domain's words."""
    try:
        _, tidy = scopes.read_web_url(text)
    except FleetError as error:
        raise forms.ValidationError(error.user_message) from error
    if Scope.objects.filter(web_url__iexact=tidy).exists():
        raise forms.ValidationError(f"{tidy} was already added.")
    return tidy


class MemberForm(forms.Form):
    """Somebody who may sign in."""

    username = forms.CharField(
        max_length=150,
        label="Name",
        help_text="What they sign in with: letters, digits and @ . + - _",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    email = forms.EmailField(
        required=False, label="Email", widget=widgets.text_input(autocomplete="off", type="email")
    )
    role = forms.ChoiceField(
        choices=ROLES, initial=Role.VIEWER.value, label="Role", widget=widgets.select()
    )


class RoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(choices=ROLES, label="Role", widget=widgets.select())


class ReplaceByForm(forms.Form):
    """The day an App's key is due to be replaced; empty for none."""

    day = forms.DateField(
        required=False,
        label="Day",
        help_text="Empty: no day.",
        widget=forms.DateInput(attrs={"class": "input", "type": "date"}, format="%Y-%m-%d"),
    )


class GroupForm(forms.Form):
    """The runner group that a scope's new runners join, one of those offered."""

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        groups: Sequence[tuple[int, str]],
        chosen: int,
    ) -> None:
        super().__init__(data, initial={"group": chosen})
        self.names = dict(groups)
        self.fields["group"] = forms.TypedChoiceField(
            choices=[(number, f"{name} (#{number})") for number, name in groups],
            coerce=int,
            label="Runner group",
            widget=widgets.select(),
        )

    @property
    def group_name(self) -> str:
        """The name of the group that was chosen."""
        return self.names[self.cleaned_data["group"]]


class JobSourceForm(forms.Form):
    """How a scope's jobs are learned."""

    source = forms.ChoiceField(
        required=False,
        choices=Scope.JobSource.choices,
        label="Jobs are learned by",
        help_text="Polling alone needs no inbound traffic; webhooks alone need the fewest calls.",
        widget=widgets.select(),
    )


class RemoveForm(forms.Form):
    """A removal with its reason."""

    reason = forms.CharField(
        required=False,
        max_length=200,
        label="Reason",
        help_text="Kept in the audit log.",
        widget=widgets.text_input(autocomplete="off"),
    )


class RedeliverForm(RemoveForm):
    """A redelivery with its reason."""
