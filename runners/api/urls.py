"""Routes of the agent API and the webhook receiver."""

from __future__ import annotations

from django.urls import path

from runners.api import agent, webhooks

agent_urls = [
    path("api/agent/enrol", agent.enrol, name="agent-enrol"),
    path("api/agent/heartbeat", agent.heartbeat, name="agent-heartbeat"),
    path("api/agent/runners/<int:pk>/jit-config", agent.jit_config, name="agent-jit-config"),
    path("api/agent/runners/<int:pk>/registration", agent.registration, name="agent-registration"),
    path("api/agent/runners/<int:pk>/log", agent.log, name="agent-log"),
    path("api/agent/speed", agent.speed, name="agent-speed"),
]

webhook_urls = [
    path("webhooks/<int:pk>/", webhooks.receive, name="webhook-receive"),
]

urlpatterns = [*agent_urls, *webhook_urls]
