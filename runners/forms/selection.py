"""Rows ticked in a list: their keys, and that a question about them was answered."""

from __future__ import annotations

from django import forms

from runners.lifecycle import COUNT_LIMIT


class IdsField(forms.Field):
    """Keys of rows, as many hidden inputs of one name; at most one page of them."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: list[str] | None) -> list[int]:
        keys = [key for key in value or [] if key.isascii() and key.isdigit()]
        return [int(key) for key in keys[:COUNT_LIMIT]]


def answered() -> forms.CharField:
    """A hidden field that tells the answer of a question from the ticks that led to it."""
    return forms.CharField(initial="yes", widget=forms.HiddenInput())


def chosen(action: str) -> forms.CharField:
    """A hidden field that keeps which action the question is about."""
    return forms.CharField(initial=action, widget=forms.HiddenInput())
