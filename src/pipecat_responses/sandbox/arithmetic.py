"""Calculations within a text, and what comes of them."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

# A number is looked at from its beginning only: else long ones cost the square of their length.
_EXPRESSION = re.compile(
    r"\(?(?<!\d)(?<!\d\.)\d+(?:\.\d+)*\.?\)?"
    r"(?:\s*[-+*/^×x]\s*\(?\d+(?:\.\d+)*\.?\)?)+"  # noqa: RUF001
)

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_LARGEST = 1e9


def expression_in(text: str) -> str | None:
    """The first calculation in a text."""
    found = _EXPRESSION.search(text)
    return found[0].strip() if found else None


def as_python(expression: str) -> str:
    """A calculation as Python writes it."""
    return re.sub(r"[×x]", "*", expression).replace("^", "**")  # noqa: RUF001


def result_of(expression: str) -> str:
    """What a calculation gives; ``undefined`` where that cannot be said."""
    value = value_of(expression)
    if value is None:
        return "undefined"
    return str(int(value)) if value == int(value) else str(value)


def value_of(expression: str) -> float | None:
    """The value of a calculation; None where that cannot be said."""
    try:
        return _value(ast.parse(as_python(expression), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError):
        return None


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATORS:
        raise ValueError("No plain calculation")
    left, right = _value(node.left), _value(node.right)
    if isinstance(node.op, ast.Pow) and (abs(left) > _LARGEST or abs(right) > 64):
        raise ValueError("Too large")
    value = _OPERATORS[type(node.op)](left, right)
    if isinstance(value, complex) or abs(value) > _LARGEST**4:
        raise ValueError("Too large")
    return float(value)
