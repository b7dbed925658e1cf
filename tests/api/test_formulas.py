"""Formulas as plain text."""

from __future__ import annotations

import re

import pytest

from lossmeter.api.openapi.formulas import plain_formula, readable
from lossmeter.losses import LOSSES, Loss
from tests.support.loops import for_each


@pytest.mark.parametrize(
    ("latex", "plain"),
    [
        (r"\tfrac{1}{2} (x_i - y_i)^2", "½ (x_i - y_i)²"),
        (r"\frac{1 - \beta}{1 - \beta^{\,n_c}}", "(1 - β)/(1 - β^(n_c))"),
        (r"\sum_{c=1}^{C} w_c \, q_{nc} \log p", "Σ_(c=1)^C w_c q_nc log p"),
        (r"\sum_c\log p", "Σ_c log p"),
        (r"\frac{1}{\sqrt{\pi}} + \sqrt{a + b}", "1/(√π) + √(a + b)"),
        (
            r"\begin{cases} x_i & y_i = 1 \\ \max(0, \; m - x_i) & \text{otherwise} \end{cases}",
            "x_i if y_i = 1; max(0, m - x_i) otherwise",
        ),
        (r"\epsilon_\text{low} \ne \bar{A}_b, \quad r^*", "ε_low ≠ A\u0304_b, r^*"),
        (r"\left( \frac{\pi(a)}{\pi_\text{old}(a)} \right)", "(π(a)/π_old(a))"),
    ],
)
def test_a_formula_is_one_line_of_text(latex: str, plain: str) -> None:
    assert plain_formula(latex) == plain


def test_prose_keeps_what_is_no_formula() -> None:
    assert readable(r"at $1 / \beta$ of `a_b`, or 5 $") == "at 1 / β of `a_b`, or 5 $"


@for_each("loss", LOSSES)
def test_no_formula_of_the_catalogue_leaves_latex(loss: Loss) -> None:
    assert not re.search(r"[\\$&^_]{2}|[\\$&]|begin|frac|text|math", plain_formula(loss.formula))
