"""Django's widgets with the stylesheet's classes on them."""

from __future__ import annotations

from django import forms


def text_input(**attrs: str) -> forms.TextInput:
    """One line of text."""
    return forms.TextInput(attrs={"class": "input", **attrs})


def number_input(**attrs: str) -> forms.NumberInput:
    """A number."""
    return forms.NumberInput(attrs={"class": "input", **attrs})


def secret_input(**attrs: str) -> forms.PasswordInput:
    """A secret: never given back to the page, paste allowed."""
    return forms.PasswordInput(
        attrs={"class": "input", "autocomplete": "off", **attrs}, render_value=False
    )


def textarea(**attrs: str) -> forms.Textarea:
    """Several lines of text."""
    return forms.Textarea(attrs={"class": "input is-area", "rows": "3", **attrs})


def select(**attrs: str) -> forms.Select:
    """One of a list."""
    return forms.Select(attrs={"class": "select", **attrs})


def radio(**attrs: str) -> forms.RadioSelect:
    """One of a few, all in view; components/fields.html draws them as tiles."""
    return forms.RadioSelect(attrs={"class": "radio", **attrs})
