"""Django's widgets with the stylesheet's classes on them."""

from __future__ import annotations

from html import escape

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe


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


class PlainSelect(forms.Select):
    """A select without groups, written in one go: Django's renders a template an option."""

    def render(
        self,
        name: str,
        value: object,
        attrs: dict[str, object] | None = None,
        renderer: object = None,
    ) -> SafeString:
        """Return the element; `value` is the chosen one."""
        chosen = "" if value is None else str(value)
        # A thousand hosts are felt when each passes through format_html
        options = mark_safe(  # noqa: S308 - every part is escaped
            "".join(
                f'<option value="{escape(str(key))}"{" selected" if str(key) == chosen else ""}>'
                f"{escape(str(label))}</option>"
                for key, label in self.choices
            )
        )
        attributes = flatatt({**self.attrs, **(attrs or {}), "name": name})
        return format_html("<select{}>{}</select>", attributes, options)


def select(**attrs: str) -> forms.Select:
    """One of a list."""
    return PlainSelect(attrs={"class": "select", **attrs})


def radio(**attrs: str) -> forms.RadioSelect:
    """One of a few, all in view; components/fields.html draws them as tiles."""
    return forms.RadioSelect(attrs={"class": "radio", **attrs})
