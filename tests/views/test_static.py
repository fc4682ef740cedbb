"""Styles, scripts and templates keep the house rules that no other tool checks."""

import re

import pytest

from tests.views.stylesheets import STATIC, every_css, symbol_ids, templates

# The numbers a template puts into a class: v0 to v100
_SYMBOL = re.compile(r"""{% (icon|glyph) "([a-z0-9-]+)\"""")


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_template_names_only_icons_that_exist(name):
    prefix = {"icon": "i-", "glyph": "g-"}

    used = {prefix[tag] + symbol for tag, symbol in _SYMBOL.findall(templates()[name])}

    assert used <= symbol_ids()


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_template_begins_by_saying_what_it_is(name):
    assert "{% comment %}" in templates()[name][:400]


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_template_marks_nothing_safe_and_carries_no_code(name):
    markup = templates()[name]

    assert "|safe" not in markup
    assert "autoescape off" not in markup
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", markup)
    assert not re.search(r"<script(?![^>]*\ssrc=)", markup)


@pytest.mark.parametrize("name", sorted(every_css()))
def test_colours_are_named_once_among_the_tokens(name):
    if name == "tokens.css":
        return
    literal = re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", every_css()[name])

    assert set(literal) <= {"#fff"}  # marks on a solid hue are white in both themes


@pytest.mark.parametrize("name", sorted(every_css()))
def test_every_token_a_stylesheet_uses_is_defined(name):
    everything = "\n".join(every_css().values())
    defined = set(re.findall(r"(--[a-z0-9-]+):", everything))

    used = set(re.findall(r"var\((--[a-z0-9-]+)", every_css()[name]))

    assert used <= defined


@pytest.mark.parametrize("name", sorted(every_css()))
def test_a_stylesheet_has_one_declaration_a_line_and_styles_no_id(name):
    for line in every_css()[name].splitlines():
        assert line.count(";") <= 1, line
        assert not re.match(r"\s*#[a-z]", line), line


def test_every_third_party_asset_has_its_licence_beside_it():
    for name in ("LICENSE-lucide.txt", "fonts/LICENSE-geist.txt", "fonts/LICENSE-geist-mono.txt"):
        assert (STATIC / name).stat().st_size > 500


def test_scripts_are_modules_without_globals():
    for path in (STATIC / "js").glob("*.js"):
        script = path.read_text()
        assert "window." not in script, path.name
        assert "eval(" not in script, path.name
        assert "innerHTML" not in script.replace('hx-swap="innerHTML"', ""), path.name
