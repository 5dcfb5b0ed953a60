"""No binary fractions where money and use are computed: a rule over the source, not a habit."""

from __future__ import annotations

import ast

import pytest

from tests.test_architecture import ROOT, SOURCES

# Modules and packages of `hosting`, and those of `mailstore` that count use.
EXACT = (
    "banking",
    "billing",
    "capping",
    "changing",
    "charges",
    "comparing",
    "dunning",
    "exporting",
    "figures",
    "forecasting",
    "invoicing",
    "itemising",
    "ledger",
    "limits",
    "margins",
    "metering",
    "meters",
    "models",
    "money",
    "opening",
    "ordering",
    "papers",
    "paying",
    "periods",
    "presenting",
    "price_lists",
    "pricing",
    "profiles",
    "repricing",
    "spending",
    "selling",
    "steps",
    "test_clock",
    "upcoming",
    "usage",
    "vat",
)
EXACT_IN_MAILSTORE = ("models/reports.py", "recounting.py")
# Dividing one of these is exact, or is done by the database on whole numbers.
EXACT_WHEN_DIVIDED = {"Decimal", "F", "Fraction"}


def offences(source):
    """What in a piece of source is not exact, with its line."""
    tree = ast.parse(source)
    return [(node.lineno, said) for node in ast.walk(tree) if (said := offence(node))]


def offence(node):
    match node:
        case ast.Constant(value=float() | complex()):
            return "a number with a point; write Decimal('…')"
        case ast.Name(id="float"):
            return "float"
        case ast.Attribute(value=ast.Name(id="time"), attr="time"):
            return "time.time(); the clock is an argument"
        case ast.ImportFrom(module="time", names=names) if any(n.name == "time" for n in names):
            return "time.time(); the clock is an argument"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()) if not divides_exactly(node):
            return "a division that may give a binary fraction"
    return None


def divides_exactly(node):
    """Whether a factor in front of the stroke is called exact where it stands."""
    whole = node.left if isinstance(node, ast.BinOp) else node.value
    return any(
        isinstance(part, ast.Call)
        and isinstance(part.func, ast.Name)
        and part.func.id in EXACT_WHEN_DIVIDED
        for part in factors(whole)
    )


def factors(node):
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        yield from factors(node.left)
        yield from factors(node.right)
    else:
        yield node


def place(path):
    """The module or package of `hosting` that a file belongs to."""
    return path.relative_to(ROOT / "hosting").with_suffix("").parts[0]


EXACT_SOURCES = [
    path for path in SOURCES if path.is_relative_to(ROOT / "hosting") and place(path) in EXACT
]
EXACT_SOURCES_OF_MAILSTORE = [ROOT / "mailstore" / name for name in EXACT_IN_MAILSTORE]


@pytest.mark.parametrize(
    "path",
    [*EXACT_SOURCES, *EXACT_SOURCES_OF_MAILSTORE],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_money_and_use_are_computed_without_float(path):
    assert offences(path.read_text(encoding="utf-8")) == []


def test_rule_looks_at_the_modules_that_compute():
    seen = {place(path) for path in EXACT_SOURCES}

    assert seen == set(EXACT)


@pytest.mark.parametrize(
    "source",
    [
        "share = 0.2",
        "share = 1e3",
        "share = float(amount)",
        "def share(amount: float) -> int: ...",
        "share = net / total",
        "share = 2 * net / total",
        "share = (net + Decimal(total)) / total",
        "share /= 3",
        "now = time.time()",
        "from time import time",
    ],
)
def test_rule_finds_what_is_not_exact(source):
    assert [line for line, _said in offences(source)] == [1]


@pytest.mark.parametrize(
    "source",
    [
        "share = Fraction(net) * seconds / whole",
        "share = price * Decimal(above) / GIGABYTE",
        'high = Sum(F("byte_seconds") / HALF)',
        "share = net // total",
        'share = Decimal("0.2")',
        "begin = time.monotonic()",
    ],
)
def test_rule_lets_exact_arithmetic_pass(source):
    assert offences(source) == []
