"""A site's own texts: sandboxed, bounded, and never the reason why nobody is paged."""

import subprocess
import sys

import pytest

from config_samples import changed
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.templates import OUTPUT_LIMIT, public_mapping, render

RECORD = {"number": "INC1", "short_description": "Disk full", "tags": ["a", "b"]}
VALUES = {"incident": RECORD, "pagerduty": None, "mapping": {"pagerduty_service_name": "API"}}
SHIPPED = "shipped [[ text ]]"


def rendered(source):
    return render(source, SHIPPED, "templates.summary", VALUES)


@pytest.mark.parametrize("source, text", [
    ("[[ incident.number ]]: [[ incident.short_description ]]", "INC1: Disk full"),
    ("[% for tag in incident.tags %]<[[ tag ]]>[% endfor %]", "<a><b>"),
    ("a[# not shown #]b", "ab"),
    ("[% if pagerduty %]PD[% else %]none[% endif %]", "none"),
    ("[[ mapping.pagerduty_service_name|lower ]] [[ 2 * 3 ]]", "api 6"),
    ("[[ incident.colour|default('grey') ]]", "grey"),
    ("[[ '{{ 7 }}' ]]{% raw %}", "{{ 7 }}{% raw %}")])
def test_values_and_statements_have_square_delimiters(source, text):
    assert rendered(source) == (text, [])


@pytest.mark.parametrize("source", ["plain", "", "{{ incident.number }}", "{% for %}", "[x]"])
def test_a_text_without_delimiters_is_taken_as_it_is(source):
    assert rendered(source) == (source, [])


def test_without_a_template_the_shipped_text_is_used_unrendered():
    assert rendered(None) == (SHIPPED, [])


@pytest.mark.parametrize("words", [
    "[[ 7 * 7 ]]", "[% for %]", "{{ 7 * 7 }}", "{% raw %}", "[[ incident ]]", "[# x #]"])
def test_what_a_title_holds_is_never_rendered(words):
    values = dict(VALUES, incident=dict(RECORD, short_description=words))
    assert render("[[ incident.short_description ]]!", SHIPPED, "templates.summary", values) == (
        words + "!", [])


@pytest.mark.parametrize("source", [
    # out of the sandbox
    "[[ ''.__class__ ]]", "[[ ''['__class__'] ]]", "[[ ''.__class__.__mro__[1].__subclasses__() ]]",
    "[[ ''|attr('__class__') ]]", "[[ incident.__init__.__globals__ ]]", "[[ range.__self__ ]]",
    "[[ '{0.__class__}'.format(incident) ]]", "[[ cycler.__init__.__globals__ ]]",
    "[[ self._TemplateReference__context ]]", "[[ lipsum.__globals__ ]]",
    # into the values
    "[[ incident.update(number='INC2') ]]", "[[ incident.tags.append('c') ]]",
    "[[ incident.pop('number') ]]", "[% set incident.number = 'INC2' %]",
    # from elsewhere
    "[% include '/etc/passwd' %]", "[% import 'os' as os %]", "[% extends 'x' %]",
    # without end
    "[% for one in range(10**9) %]x[% endfor %]", "[% for one in range(1000000000) %][% endfor %]",
    "[% for a in range(9000) %][% for b in range(9000) %][% endfor %][% endfor %]",
    "[[ range(10**30)|list ]]", "[[ range(99999, 0, -1)|list ]]",
    "[[ 'x' * 1000000000 ]]", "[[ 1000000000 * [1] ]]", "[[ 9**9**9 ]]",
    "[% for one in range(90000) %][[ incident.short_description ]][% endfor %]",
    "[% macro again() %][[ again() ]][% endmacro %][[ again() ]]",
    # broken
    "[[ incident.colour ]]", "[[ colour ]]", "[[ pagerduty.title ]]", "[[ incident.number",
    "[% if %]", "[% endfor %]", "[[ 1 / 0 ]]", "[[ incident.number|nosuchfilter ]]",
    "[[ incident.number() ]]"])
def test_a_template_that_may_not_or_cannot_be_rendered_gives_the_shipped_text(source):
    before = repr(VALUES)
    text, (warning,) = rendered(source)
    assert text == SHIPPED
    assert warning.startswith("templates.summary is broken (") and "shipped text" in warning
    assert len(warning) < 400 and repr(VALUES) == before


def test_the_output_is_bounded():
    full = "[%% for one in range(%d) %%]xx[%% endfor %%]" % (OUTPUT_LIMIT // 2)
    assert rendered(full) == ("x" * OUTPUT_LIMIT, [])
    text, warnings = rendered(full + "x")
    assert text == SHIPPED and "more than %d characters" % OUTPUT_LIMIT in warnings[0]


def test_a_mapping_is_shown_without_its_keys():
    entry = load(changed(("service_mapping.0.previous_integration_keys", ["previous-key"])))
    shown = public_mapping(entry.service_mapping[0])
    assert shown == {"pagerduty_service_id": "P1234AB", "pagerduty_service_name": "Production API",
                     "stackflow_assignment_group": "Platform Engineering",
                     "stackflow_category": "api"}


def test_the_shipped_texts_need_no_jinja2():
    program = ("import sys\n"
               "from pagerduty_stackflow import pack, sync, templates\n"
               "assert templates.render(None, 'x', 'templates.summary', {}) == ('x', [])\n"
               "assert templates.render('plain', 'x', 'templates.summary', {}) == ('plain', [])\n"
               "assert 'jinja2' not in sys.modules\n"
               "assert templates.render('[[ 1 ]]', 'x', 'templates.summary', {}) == ('1', [])\n"
               "assert 'jinja2' in sys.modules\n")
    subprocess.run([sys.executable, "-c", "import sys; sys.path[:] = %r\n%s" % (
        sys.path, program)], check=True)
