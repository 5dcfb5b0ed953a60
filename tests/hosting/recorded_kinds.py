"""What the code records, read from its text: the kinds of facts, and the names of their values."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for floor in ("accounts", "mailstore", "hosting")
    for path in (ROOT / floor).rglob("*.py")
    # The API is a door: it calls verbs, and records nothing by itself.
    if not {"migrations", "api"} & set(path.relative_to(ROOT).parts)
]
# Handlers of the API record nothing themselves, and what they give back may hold a secret that is
# shown once: there, `created` is an answer.
RECORDING = [path for path in SOURCES if "api" not in path.relative_to(ROOT).parts]
# What a fact is recorded with: outbox itself, and what the modules call their own way to it.
RECORDERS = {"record", "event", "_record", "tell", "tell_of_bill", "move", "_change", "created"}
RECORDERS |= {"_give_back", "_tell", "_record_of_mailbox", "record_invitation", "admit"}
RECORDERS |= {"tell_of_end"}
KIND = re.compile(r"[a-z_]+\.[a-z_]+\Z")


def recorded_in_code():
    """Every kind that stands in a call which records, or in what such a call is made of."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and name_of(node.func) in RECORDERS:
                found |= constants(node)
            elif isinstance(node, ast.Assign | ast.Dict):
                found |= constants(node) if is_about_kind(node) else set()
    return found


def name_of(function):
    return getattr(function, "attr", getattr(function, "id", ""))


def is_about_kind(node):
    if isinstance(node, ast.Dict):
        return any(isinstance(key, ast.Constant) and key.value == "kind" for key in node.keys)
    return any(getattr(target, "id", "") == "kind" for target in node.targets)


def constants(node):
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant)
        and isinstance(each.value, str)
        and KIND.match(each.value)
        and not each.value.startswith(("hosting.", "mailstore.", "accounts."))
    }


def names_of_values():
    """The name of every value that is recorded with a fact, and of what stands near to it.

    Near is each dictionary of a function that records, so none is missed that is put together
    before it is recorded.
    """
    recorded, near = set(), set()
    for path in RECORDING:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and name_of(node.func) in RECORDERS
            ]
            if calls and function.name not in RECORDERS | {"record_all"}:
                near |= keys_of(function)
            for call in calls:
                for keyword in call.keywords:
                    recorded |= keys_of(keyword.value) if keyword.arg == "data" else set()
    return recorded, near | recorded


def keys_of(tree):
    return {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value.isidentifier()
    }
