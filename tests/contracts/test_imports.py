"""Who may import whom, and a few habits of the code that only its text shows."""

from __future__ import annotations

import ast
import importlib.util
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "pagerduty_stackflow"
LIB = ROOT / "lib" / PACKAGE
STACKSTORM = ("st2common", "st2reactor", "st2tests", "st2client", "st2actions")
DEPENDENCIES = {"requests", "urllib3", "boto3", "botocore", "jinja2", "yaml"}
"""urllib3 comes with requests, botocore with boto3."""
CLIENTS = {"requests", "urllib3", "boto3", "botocore", PACKAGE + ".transport",
           PACKAGE + ".pagerduty", PACKAGE + ".stackflow", PACKAGE + ".credentials"}


def module_of(path):
    parts = path.relative_to(ROOT / "lib").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


LIB_FILES = {module_of(path): path for path in sorted(LIB.rglob("*.py"))}
PACK_FILES = (list(LIB_FILES.values()) + sorted((ROOT / "actions").glob("*.py")) +
              sorted((ROOT / "sensors").glob("*.py")))


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path):
    """Full names of all that a file imports, wherever in it; `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(path).split(".")
                if path.name != "__init__.py":
                    package = package[:-1]
                package = package[:len(package) - node.level + 1]
                base = ".".join(package + ([node.module] if node.module else []))
            names.add(base)
            names.update("%s.%s" % (base, alias.name) for alias in node.names)
    return names


def reached_from(module):
    """Everything that a module of lib imports, itself or by way of others of lib."""
    found, pending = set(), [module]
    while pending:
        for name in imports_of(LIB_FILES[pending.pop()]) - found:
            found.add(name)
            if name in LIB_FILES:
                pending.append(name)
    return found


def within(names, prefixes):
    """The names that are one of the prefixes or below it."""
    return sorted(name for name in names
                  if any(name == one or name.startswith(one + ".") for one in prefixes))


def is_standard(name):
    spec = importlib.util.find_spec(name)
    origin = spec.origin if spec else None
    if origin in ("built-in", "frozen"):
        return True
    return (origin or "").startswith(sysconfig.get_path("stdlib")) and "-packages" not in origin


def test_there_is_something_to_check():
    assert {PACKAGE + ".decide", PACKAGE + ".pagerduty.rest"} <= set(LIB_FILES)
    assert PACKAGE + ".stackflow.client" in reached_from(PACKAGE + ".sync")


@pytest.mark.parametrize("path", PACK_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_pack_does_not_import_what_is_there_for_its_development(path):
    assert within(imports_of(path), ["dev", "tests", "world", "conftest"]) == []


@pytest.mark.parametrize("path", sorted((ROOT / "dev" / "playground").glob("*.py")),
                         ids=lambda path: path.stem)
def test_the_playground_knows_nothing_of_the_pack_but_what_it_shows(path):
    assert within(imports_of(path), [PACKAGE, "tests"]) == []


@pytest.mark.parametrize("module", sorted(LIB_FILES))
def test_lib_imports_nothing_of_stackstorm(module):
    assert within(imports_of(LIB_FILES[module]), STACKSTORM) == []


@pytest.mark.parametrize("path", PACK_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_pack_imports_only_what_it_requires(path):
    foreign = {name.split(".")[0] for name in imports_of(path) if name}
    foreign -= {PACKAGE, "__future__", *DEPENDENCIES}
    if path.parent.name in ("actions", "sensors"):
        foreign -= set(STACKSTORM)
    assert sorted(name for name in foreign if not is_standard(name)) == []


@pytest.mark.parametrize("module", ["decide", "fields", "events", "routing", "incidents"])
def test_what_decides_reaches_neither_clients_nor_requests(module):
    assert within(reached_from("%s.%s" % (PACKAGE, module)), CLIENTS) == []


@pytest.mark.parametrize("module", sorted(
    name for name in LIB_FILES
    if name.startswith((PACKAGE + ".pagerduty", PACKAGE + ".stackflow", PACKAGE + ".credentials"))))
def test_clients_and_credentials_know_nothing_of_sync(module):
    above = [PACKAGE + "." + name for name in (
        "sync", "to_pagerduty", "to_stackflow", "pairs", "matching", "pack", "links")]
    assert within(reached_from(module), above) == []


@pytest.mark.parametrize("path", sorted((ROOT / "actions").glob("*.py")),
                         ids=lambda path: path.stem)
def test_an_action_is_one_call_of_its_use_case(path):
    classes = [node for node in parse(path).body if isinstance(node, ast.ClassDef)]
    run, = [node for one in classes for node in one.body if isinstance(node, ast.FunctionDef)]
    statement, = run.body
    call = statement.value
    assert isinstance(statement, ast.Return) and call.func.id == "perform"
    assert call.args[1].attr == path.stem
    names = [argument.arg for argument in run.args.args[1:]]
    assert {word.arg: word.value.id for word in call.keywords} == dict(zip(names, names))


@pytest.mark.parametrize("module", sorted(LIB_FILES))
def test_lib_neither_prints_nor_reads_the_time_nor_catches_everything(module):
    for node in ast.walk(parse(LIB_FILES[module])):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "a bare except in line %d" % node.lineno
        if isinstance(node, ast.Call):
            name = node.func
            words = [getattr(name, "id", None) or getattr(name, "attr", None),
                     getattr(getattr(name, "value", None), "id", None)]
            assert words[0] != "print"
            if module != PACKAGE + ".clock":
                assert words not in (["now", "datetime"], ["time", "time"], ["sleep", "time"],
                                     ["utcnow", "datetime"], ["today", "date"])
