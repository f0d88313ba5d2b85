"""Arithmetic out of a text, without ever running the text."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

MAX_LENGTH = 200
"""Characters of an expression."""

MAX_BITS = 4096
"""Bits of a number."""

Number = int | float

_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS = str.maketrans({"^": "**", "×": "*", "x": "*", "·": "*", "÷": "/", "−": "-"})  # noqa: RUF001


def calculate_text(expression: str) -> str:
    """Computes an expression of numbers, ``+ - * / // % **`` and brackets.

    Args:
        expression: The expression; ``^`` is a power, ``x`` and ``×`` multiply.

    Returns:
        The result as text.

    Raises:
        ValueError: With a sentence that says what is wrong with it.
    """  # noqa: RUF002
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"An expression may have {MAX_LENGTH} characters.")
    try:
        tree = ast.parse(expression.translate(_SIGNS).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("That is no expression of numbers.") from None
    try:
        result = _value(tree.body)
    except ZeroDivisionError:
        raise ValueError("A division by zero has no result.") from None
    except OverflowError:
        raise ValueError("The result is too large.") from None
    if isinstance(result, float):
        return f"{result:.12g}"
    return str(result)


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as number):
            return _bounded(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _bounded(_BINARY[type(sign)](_value(left), _value(right)))
        case _:
            pass
    raise ValueError("Only numbers, + - * / // % ** and brackets can be calculated.")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        if base.bit_length() * exponent > MAX_BITS:
            raise OverflowError
        return _bounded(base**exponent)
    if base == 0 and exponent < 0:
        raise ZeroDivisionError
    if base < 0 and not float(exponent).is_integer():
        raise ValueError("A negative number has no such power.")
    return _bounded(math.pow(base, exponent))


def _bounded(number: Number) -> Number:
    if isinstance(number, int):
        if number.bit_length() > MAX_BITS:
            raise OverflowError
    elif not math.isfinite(number):
        raise OverflowError
    return number
