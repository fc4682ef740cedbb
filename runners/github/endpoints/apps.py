"""The GitHub App itself: installations, tokens, its webhook, and making one from a manifest.

Source: GitHub Docs "REST API endpoints for GitHub Apps", "... GitHub App webhooks", "Registering a
GitHub App from a manifest". All need the App's private key (`AppAuth`), but for the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from runners.github.parsing import Json
from runners.github.transport import MINT_OPERATION
from runners.github.types.apps import (
    App,
    Installation,
    InstallationToken,
    ManifestApp,
    parse_app,
    parse_installation,
    parse_installation_token,
    parse_manifest_app,
)
from runners.github.types.hooks import (
    Delivery,
    DeliveryDetail,
    WebhookConfig,
    parse_delivery_detail,
    parse_webhook_config,
)
from runners.github.types.listing import Listing, PageOf
from runners.github.urls import ScopePath

from .base import Endpoints, without_none
from .hooks import DELIVERY_PAGE, webhook_config_body

INSTALLATION_PAGE = PageOf(parse_installation)


class AppEndpoints(Endpoints):
    """Operations under `/app`."""

    def get_authenticated_app(self) -> App:
        """The App whose key signs. "Get the authenticated app"."""
        return self._get("get_authenticated_app", "/app", parse_app, as_app=True)

    def list_installations(self) -> Listing[Installation]:
        """Where the App is installed. "List installations for the authenticated app"."""
        return self._list(
            "list_installations",
            "/app/installations",
            INSTALLATION_PAGE,
            lambda installation: installation.id,
            as_app=True,
        )

    def get_installation(self, installation_id: int) -> Installation:
        """One installation. "Get an installation for the authenticated app". Raises NotFound."""
        path = f"/app/installations/{installation_id}"
        return self._get("get_installation", path, parse_installation, as_app=True)

    def get_installation_for(self, scope: ScopePath) -> Installation:
        """The App's installation on a repository, organization or enterprise.

        "Get a repository (an organization, an enterprise) installation for the authenticated app".
        Raises NotFound when it is not installed there.
        """
        path = f"{scope.api_path}/installation"
        return self._get("get_installation_for", path, parse_installation, as_app=True)

    def create_installation_access_token(
        self,
        installation_id: int,
        *,
        permissions: Mapping[str, str] | None = None,
        repositories: Sequence[str] | None = None,
    ) -> InstallationToken:
        """A token, narrowed to permissions or repositories (bare names) where given.

        "Create an installation access token for an app". `AppAuth` fetches its own by itself.
        """
        body: dict[str, Json] = {}
        if permissions is not None:
            body["permissions"] = dict(permissions)
        if repositories is not None:
            body["repositories"] = list(repositories)
        path = f"/app/installations/{installation_id}/access_tokens"
        answer = self._change("POST", MINT_OPERATION, path, body=body or None, as_app=True)
        return parse_installation_token(answer)

    def revoke_installation_access_token(self) -> None:
        """End the installation token in use. "Revoke an installation access token"."""
        self._change("DELETE", "revoke_installation_access_token", "/installation/token")

    def create_from_manifest(self, code: str) -> ManifestApp:
        """Swap the code of the manifest flow for the App and its secrets; works once.

        "Create a GitHub App from a manifest"; no credential. Raises NotFound after an hour.
        """
        path = f"/app-manifests/{quote(code, safe='')}/conversions"
        return parse_manifest_app(
            self._change("POST", "create_from_manifest", path, anonymous=True)
        )

    def get_webhook_config_for_app(self) -> WebhookConfig:
        """The App's webhook. "Get a webhook configuration for an app"."""
        path = "/app/hook/config"
        return self._get("get_webhook_config_for_app", path, parse_webhook_config, as_app=True)

    def update_webhook_config_for_app(
        self, *, url: str, secret: str, content_type: str = "json"
    ) -> WebhookConfig:
        """Point the App's webhook here. "Update a webhook configuration for an app"."""
        body = webhook_config_body(url=url, secret=secret, content_type=content_type)
        return parse_webhook_config(
            self._change(
                "PATCH", "update_webhook_config_for_app", "/app/hook/config", body=body, as_app=True
            )
        )

    def list_webhook_deliveries_for_app(
        self, *, status: str | None = None, max_items: int | None = None
    ) -> Listing[Delivery]:
        """Deliveries of the App's webhook, newest first. "List deliveries for an app webhook"."""
        return self._list(
            "list_webhook_deliveries_for_app",
            "/app/hook/deliveries",
            DELIVERY_PAGE,
            lambda delivery: delivery.id,
            query=without_none(status=status),
            as_app=True,
            max_items=max_items,
        )

    def get_webhook_delivery_for_app(self, delivery_id: int) -> DeliveryDetail:
        """One delivery with its payload. "Get a delivery for an app webhook"."""
        return self._get(
            "get_webhook_delivery_for_app",
            f"/app/hook/deliveries/{delivery_id}",
            parse_delivery_detail,
            as_app=True,
            conditional=False,
        )

    def redeliver_webhook_delivery_for_app(self, delivery_id: int) -> None:
        """Have a delivery sent again. "Redeliver a delivery for an app webhook"."""
        path = f"/app/hook/deliveries/{delivery_id}/attempts"
        self._change("POST", "redeliver_webhook_delivery_for_app", path, as_app=True)
