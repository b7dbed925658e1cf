r"""Formulas as plain text: `\tfrac{1}{2} x_i^2` as `½ x_i²`, for pages and clients that set no LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator

INLINE = re.compile(r"\$([^$]+)\$")
SCRIPT = re.compile(r"[_^]")
SUMMED = re.compile(r"[ΣΠ][_^]\S*$")
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\s+|.", re.DOTALL)
SIGNS = r"""
alpha:α beta:β gamma:γ delta:δ epsilon:ε varepsilon:ε zeta:ζ eta:η theta:θ lambda:λ mu:μ nu:ν pi:π sigma:σ tau:τ phi:φ
varphi:φ Gamma:Γ Delta:Δ Phi:Φ ell:ℓ sum:Σ prod:Π cdot:· times:× dots:… pm:± infty:∞ propto:∝ ne:≠ neq:≠ ge:≥ geq:≥ le:≤
leq:≤ approx:≈ to:→ in:∈ notin:∉ cup:∪ cap:∩ setminus:∖ lfloor:⌊ rfloor:⌋ lVert:‖ rVert:‖ |:‖ left: right: bigl: bigr:
Bigl: Bigr: !:"""
SYMBOLS = dict(pair.split(":") for pair in SIGNS.split()) | dict.fromkeys(("quad", "qquad", ",", ";"), " ")
"""Commands that stand for a sign; others, such as `\\log`, stand for their name."""
ACCENTS = {"bar": "\u0304", "tilde": "\u0303", "hat": "\u0302"}
POWERS = {"^2": "²", "^3": "³"}
HALVES = {("1", "2"): "½", ("1", "4"): "¼"}


def readable(prose: str) -> str:
    """Returns prose with its inline formulas, between dollars, as plain text."""
    return INLINE.sub(lambda found: plain_formula(found[1]), prose)


def plain_formula(latex: str) -> str:
    """Returns a formula in one line of plain text."""
    spaced = re.sub(r"\s+", " ", _sequence(iter(TOKEN.findall(latex))))
    return re.sub(r"(?<=[({]) | (?=[,)}])", "", spaced).strip()


def _sequence(tokens: Iterator[str], end: str = "") -> str:
    written = ""
    for token in tokens:
        if token == end:
            break
        piece = _one(token, tokens)
        # A sum is not glued to what it sums.
        written += f" {piece}" if SUMMED.search(written) and not SCRIPT.match(token) else piece
    return written


def _one(token: str, tokens: Iterator[str]) -> str:
    if token.isspace():
        return " "
    if token.startswith("\\"):
        return _command(token[1:], tokens)
    if token.startswith("{"):
        return _sequence(tokens, "}")
    if not SCRIPT.match(token):
        return token
    script = _group(tokens)
    return POWERS.get(token + script) or token + _enclosed(script, r"[^\W_]+'?|[*+-]|\([^()]*\)")


def _command(name: str, tokens: Iterator[str]) -> str:
    if name in ("frac", "tfrac"):
        above, below = _group(tokens), _group(tokens)
        return HALVES.get((above, below)) or f"{_enclosed(above)}/{_enclosed(below)}"
    if name == "sqrt":
        return "√" + _enclosed(_group(tokens))
    if name in ("text", "mathrm", "mathcal"):
        return _group(tokens).replace("`", "")
    if name in ACCENTS:
        return _group(tokens) + ACCENTS[name]
    if name == "begin":
        _group(tokens)
        rows = [row.split("&") for row in _sequence(tokens, "\\end").split("\n")]
        _group(tokens)
        return "; ".join(value.strip() + _condition(when.strip()) for value, when in rows)
    return "\n" if name == "\\" else SYMBOLS.get(name, name)


def _condition(when: str) -> str:
    return f" {when}" if when == "otherwise" else f" if {when}"


def _group(tokens: Iterator[str]) -> str:
    token = next(tokens)
    while token.isspace():
        token = next(tokens)
    return re.sub(r"\s+", " ", _one(token, tokens)).strip()


def _enclosed(part: str, bare: str = r"[\w\u0304]+²?|\([^()]*\)|\|[^|]*\||\w+\([^()]*\)") -> str:
    """Puts parentheses around what is more than one thing."""
    return part if re.fullmatch(bare, part) else f"({part})"
