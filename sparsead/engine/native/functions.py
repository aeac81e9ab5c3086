"""Functions that are not written out in kernels, as inner loops in C for a source that stands alone.

Law: a loop gives what the tiled engine's loop of the same name gives: to the bit for sums, and where the vector function is
sparsead's own and the compiler is told of the same instructions; to 2 units in the last place where it is the C library's.
"""

from __future__ import annotations

from pathlib import Path

from sparsead.engine.native.kernels import COMPARISONS, TYPES, expression
from sparsead.engine.vm._vm import FUNCTIONS, NARROW

SIMD = Path(__file__).parents[1] / "simd"
HEADERS = ("memory", "elementwise", "doubles", "coefficients", "exponential", "inverse", "logarithm", "power", "trigonometric",
           "functions")  # fmt: skip
OURS = FUNCTIONS | NARROW
SAME = "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh cbrt floor ceil rint trunc fabs".split()

# Expressions of operands {0}, {1}.., of the type {T}; {f} is the suffix of the C library's functions.
REALS = {
    **{name: f"{name}{{f}}({{0}})" for name in SAME},
    "arcsin": "asin{f}({0})", "arccos": "acos{f}({0})", "arctan": "atan{f}({0})", "arcsinh": "asinh{f}({0})",
    "arccosh": "acosh{f}({0})", "arctanh": "atanh{f}({0})", "power": "pow{f}({0}, {1})", "float_power": "pow{f}({0}, {1})",
    "arctan2": "atan2{f}({0}, {1})", "hypot": "hypot{f}({0}, {1})", "copysign": "copysign{f}({0}, {1})",
    "fmax": "fmax{f}({0}, {1})", "fmin": "fmin{f}({0}, {1})", "fmod": "fmod{f}({0}, {1})", "nextafter": "nextafter{f}({0}, {1})",
    "remainder": "remainder_of{f}({0}, {1})", "floor_divide": "quotient_of{f}({0}, {1})", "conjugate": "{0}",
    "logaddexp": "logaddexp_of{f}({0}, {1})", "logaddexp2": "logaddexp2_of{f}({0}, {1})", "clip": "clip_of{f}({0}, {1}, {2})",
    "degrees": "{0} * ({T})57.295779513082320876798154814105170", "radians": "{0} * ({T})0.017453292519943295769236907684886",
    "rad2deg": "{0} * ({T})57.295779513082320876798154814105170", "deg2rad": "{0} * ({T})0.017453292519943295769236907684886",
    "heaviside": "{0} != {0} ? {0} : {0} == 0 ? {1} : {0} > 0", "sign": "{0} > 0 ? 1 : {0} < 0 ? -1 : {0}",
    "spacing": "spacing_of{f}({0})",
}  # fmt: skip
TESTS = {"isnan": "isnan({0}) != 0", "isinf": "isinf({0}) != 0", "isfinite": "isfinite({0}) != 0", "signbit": "signbit({0}) != 0"}
TRUTHS = {
    "logical_not": "!{0}", "logical_and": "{0} && {1}", "logical_or": "{0} || {1}", "logical_xor": "!{0} != !{1}",
}  # fmt: skip
# Of whole numbers, whose arithmetic wraps around.
WHOLE = {
    "add": "(({U}){0} + ({U}){1})", "subtract": "(({U}){0} - ({U}){1})", "multiply": "(({U}){0} * ({U}){1})",
    "negative": "(0 - ({U}){0})", "positive": "{0}", "square": "(({U}){0} * ({U}){0})",
    "absolute": "{0} < 0 ? 0 - ({U}){0} : ({U}){0}",
    "maximum": "{0} > {1} ? {0} : {1}", "minimum": "{0} < {1} ? {0} : {1}", "fmax": "{0} > {1} ? {0} : {1}",
    "fmin": "{0} < {1} ? {0} : {1}", "sign": "({0} > 0) - ({0} < 0)", "bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}",
    "bitwise_xor": "{0} ^ {1}", "invert": "~{0}", "conjugate": "{0}", "floor": "{0}", "ceil": "{0}", "trunc": "{0}",
    "floor_divide": "UNUSUAL({T}, {1}) ? {1} == 0 ? 0 : ({T})(0 - ({U}){0}) : {0} / {1} - (ROUNDED({0}, {1}))",
    "remainder": "UNUSUAL({T}, {1}) ? 0 : {0} % {1} + (ROUNDED({0}, {1}) ? {1} : 0)",
    "fmod": "UNUSUAL({T}, {1}) ? 0 : {0} % {1}",
}  # fmt: skip
BOOLS = {"add": "{0} | {1}", "multiply": "{0} & {1}", "maximum": "{0} | {1}", "minimum": "{0} & {1}", "bitwise_and": "{0} & {1}",
         "bitwise_or": "{0} | {1}", "bitwise_xor": "{0} ^ {1}", "invert": "!{0}", "absolute": "{0}"}  # fmt: skip
UNSIGNED = {"b": "unsigned char", "h": "unsigned short", "i": "unsigned", "l": "unsigned long", "q": "unsigned long long"}
PAIRS = {  # of two results, which are {2} and {3}, or {1} and {2}
    "divmod": "{2} = quotient_of{f}({0}, {1}); {3} = remainder_of{f}({0}, {1})", "modf": "{1} = modf{f}({0}, &{2})",
    "frexp": "{1} = frexp{f}({0}, &{2})",
}  # fmt: skip


def value_of(op, dtypes):
    """One result of an elementwise op in C, ``{0}``, ``{1}``.. its operands; None if there is none."""
    chars = "".join([dtype.char for dtype in dtypes])
    if any(char not in TYPES for char in chars):
        return None
    known = expression(op, dtypes, len(dtypes) - 1)
    if known is not None:
        return known
    first, result = chars[0], chars[-1]
    if op == "cast":
        return f"({TYPES[result]}){{0}}"
    if op == "ldexp" and first in "df":
        return f"ldexp{'f' if first == 'f' else ''}({{0}}, (int){{1}})"
    if op in COMPARISONS and first == chars[1]:
        return f"{{0}} {COMPARISONS[op]} {{1}}"
    if result == "?" and (op in TESTS or op in TRUTHS):
        return TRUTHS[op] if op in TRUTHS else TESTS[op] if first in "df" else str(int(op == "isfinite"))
    if len(set(chars)) > 1:
        return None
    table = REALS if first in "df" else BOOLS if first == "?" else WHOLE
    text = table.get(op)
    return None if text is None else _named(text, first)


def _named(text, char):
    for key, name in (("{T}", TYPES[char]), ("{U}", UNSIGNED.get(char, TYPES[char])), ("{f}", "f" if char == "f" else "")):
        text = text.replace(key, name)
    return text


class Functions:
    """The inner loops of a source, each of them once.

    Attributes
    ----------
    uses_ours : bool
        Whether sparsead's own vector functions are among them.
    """

    def __init__(self):
        self.texts: dict[str, str] = {}
        self.uses_ours = False

    def loop(self, op, dtypes):
        """The name of the inner loop of an elementwise op; None if there is none."""
        chars = "".join([dtype.char for dtype in dtypes])
        if op in OURS and set(chars) == {"d"}:
            self.uses_ours = True
            return f"{op}_d"
        name = f"loop_of_{op}_{chars.replace('?', 'o')}"
        if name not in self.texts:
            statements = self._statements(op, dtypes, chars)
            if statements is None:
                return None
            self.texts[name] = f"LOOP({name}, {statements})"
        return name

    @staticmethod
    def _statements(op, dtypes, chars):
        if op in PAIRS and chars[0] in "df" and all(char in TYPES for char in chars):
            at = [f"AT({TYPES[char]}, {j})" for j, char in enumerate(chars)]
            return _named(PAIRS[op], chars[0]).format(*at)
        value = value_of(op, dtypes)
        if value is None:
            return None
        operands = [f"const {TYPES[char]} x{j} = AT(const {TYPES[char]}, {j})" for j, char in enumerate(chars[:-1])]
        result = f"AT({TYPES[chars[-1]]}, {len(chars) - 1}) = {value.format(*[f'x{j}' for j in range(len(chars))])}"
        return "; ".join([*operands, result])

    @staticmethod
    def sum(dtype):
        """The name of the loop that adds all points to one number; None if there is none."""
        return f"pairwise_{dtype.char}" if dtype.char in "df" else None

    def text(self):
        """All of them, and what they stand on."""
        ours = own_functions() if self.uses_ours else ""
        library = (Path(__file__).parent / "functions.h").read_text(encoding="utf-8")
        return ours, "\n".join([library, *self.texts.values(), ""])


def own_functions():
    """sparsead's vector functions as one text."""
    lines = []
    for name in HEADERS:
        text = (SIMD / f"{name}.h").read_text(encoding="utf-8")
        lines += [line for line in text.splitlines() if not line.startswith('#include "')]
    return "\n".join([*lines, ""])
