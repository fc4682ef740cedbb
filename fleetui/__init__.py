"""Fleetui's configuration package: settings, URLs and the WSGI entry point; no business code."""

__version__ = "0.1.0"
