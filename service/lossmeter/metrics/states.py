"""The base of all states: they merge in any order, and they are plain JSON.

A state is a frozen record of float64 arrays and a few settings. Two states of the same settings merge into the state of the
data of both. States of B bootstrap replicates are the same records with a leading axis of length B on every array.
`docs/statistics.md` says what each field means and how to merge it in any language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from lossmeter.errors import Invalid, MalformedBody
from lossmeter.metrics.weighting import Array, Weighting, centred, drawn_sums, quotient

VERSION = 1
ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Share of a ratio that is rounding."""
STATES: dict[str, type[State]] = {}
Writer = Callable[[Array], Any]
Reader = Callable[[Any], Array]


def to_lists(array: Array) -> Any:
    """Returns numbers and nested lists; NaN and infinities as the strings `NaN`, `Infinity`, `-Infinity`."""
    listed = array.tolist()
    return listed if np.isfinite(array).all() else _spell(listed)


def write_plainly(array: Array) -> Any:
    """Returns what `orjson` writes as `to_lists` would be, without a number of Python for each element."""
    return np.ascontiguousarray(array) if array.ndim and np.isfinite(array).all() else to_lists(array)


def _spell(value: Any) -> Any:
    if isinstance(value, list):
        return [_spell(item) for item in value]
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def from_lists(value: Any) -> Array:
    """Reads what `to_lists` wrote: numpy reads these strings as the numbers that they name."""
    return np.asarray(value, np.float64)


def total() -> Any:
    """Declares a field that merges by addition."""
    return field(metadata={"merge": "sum"})


def merged_by(rule: str) -> Any:
    """Declares a field that merges by a rule of its state, which the docs name so."""
    return field(metadata={"merge": rule})


@dataclass(frozen=True, eq=False)
class State:
    """Base of all states; subclasses declare their fields with `total` or `merged_by`, settings without."""

    kind: ClassVar[str]
    version: ClassVar[int] = VERSION

    def __init_subclass__(cls, kind: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if kind in STATES:
            raise ValueError(f"{kind}: this state exists already")
        cls.kind = kind
        STATES[kind] = cls

    @property
    def mass(self) -> Array:
        """Weight of all units, for each replicate: what tells how many of them are drawn."""
        raise NotImplementedError

    @classmethod
    def arrays(cls) -> tuple[str, ...]:
        return tuple(item.name for item in fields(cls) if "merge" in item.metadata)

    def each(self, change: Callable[[Array], Array]) -> Self:
        """Returns the state with every array changed alike."""
        return replace(self, **{name: change(getattr(self, name)) for name in self.arrays()})

    def settings(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self) if "merge" not in item.metadata}

    def merge(self, other: Self) -> Self:
        """Returns the state of the data of both.

        Raises:
            Invalid: the other state is of another kind, size or setting.
        """
        if type(self) is not type(other) or self.settings() != other.settings():
            raise Invalid.at("merge", "", f"a state {self.kind} {self.settings()} cannot take {other.kind}")
        for name in self.arrays():
            if not self._fits(name, getattr(self, name), getattr(other, name)):
                raise Invalid.at("merge", f"/{name}", f"the two states {self.kind} differ in the shape of {name}")
        added = {
            item.name: getattr(self, item.name) + getattr(other, item.name)
            for item in fields(self)
            if item.metadata.get("merge") == "sum"
        }
        return replace(self, **added, **self._merged(other))

    def _fits(self, name: str, mine: Array, theirs: Array) -> bool:  # noqa: ARG002
        return mine.shape == theirs.shape

    def _merged(self, other: Self) -> dict[str, Any]:  # noqa: ARG002
        """Merges the fields that do not merge by addition."""
        return {}

    @classmethod
    def _read(cls, record: Mapping[str, Any], read: Reader) -> dict[str, Any]:
        """Reads the fields of a record of any known version; where one was made otherwise, subclasses make ours of it."""
        return {
            item.name: read(record[item.name]) if "merge" in item.metadata else record[item.name]
            for item in fields(cls)
            if item.name in record or item.default is MISSING
        }

    def to_json(self, write: Writer = to_lists) -> dict[str, Any]:
        """Returns its settings, and its arrays as `write` gives them: nested lists, unless said otherwise."""
        arrays = {name: write(getattr(self, name)) for name in self.arrays()}
        return {"state": self.kind, "version": self.version, **self.settings(), **arrays}


def from_json(record: Mapping[str, Any], read: Reader = from_lists) -> State:
    """Reads the state that `to_json` wrote.

    Raises:
        MalformedBody: this is no state, or one of a version that is not known here.
    """
    kind = STATES.get(str(record.get("state")))
    if kind is None or record.get("version") not in range(VERSION, kind.version + 1):
        raise MalformedBody(f"state {record.get('state')!r} of version {record.get('version')!r} is not known")
    try:
        return kind(**kind._read(record, read))
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedBody(f"state {kind.kind}: {error}") from error


def joined(states: Sequence[State]) -> State:
    """Merges states of one kind and size: in pairs, pairs of pairs and so on, all pairs at a time."""
    names = states[0].arrays()
    whole, count = (
        replace(states[0], **{name: np.stack([getattr(one, name) for one in states]) for name in names}),
        len(states),
    )
    while count > 1:
        half = count // 2
        first, second, rest = (_part(whole, slice(*ends)) for ends in ((0, half), (half, 2 * half), (2 * half, count)))
        merged = first.merge(second)
        whole = replace(
            merged, **{name: np.concatenate([getattr(part, name) for part in (merged, rest)]) for name in names}
        )
        count -= half
    return whole.each(lambda array: array[0])


def _part(state: State, chosen: slice) -> State:
    return state.each(lambda array: array[chosen])


@dataclass(frozen=True, eq=False)
class Quotient(State, kind="quotient"):
    """A ratio of two sums, such as a weighted mean; all that a replicate needs of it.

    Attributes:
        numerator: weighted sum of the values.
        denominator: weighted sum of what they are divided by, usually the weights.
    """

    numerator: Array = total()
    denominator: Array = total()

    @property
    def mass(self) -> Array:
        return self.denominator

    @property
    def mean(self) -> Array:
        return quotient(self.numerator, self.denominator)


@dataclass(frozen=True, eq=False)
class Ratio(Quotient, kind="ratio"):
    """A ratio of two sums with its uncertainty: per unit i, a_i adds to the numerator, b_i to the denominator.

    The squares are those of the residuals r_i = a_i - mean · b_i, moved to the new mean whenever states merge (as Chan, Golub
    and LeVeque, 1979, do with variances). So nothing cancels: neither where the mean is large, nor where one unit carries
    nearly all the weight.

    Attributes:
        units: how many units count.
        elements: how many elements count.
        rr, rb, bb: sums over units of r_i², r_i b_i, b_i². Before version 2 they were `aa`, `ab`, `bb`: the moments of a_i and
            b_i about their own means.
    """

    version: ClassVar[int] = 2
    units: Array = total()
    elements: Array = total()
    rr: Array = merged_by("residuals")
    rb: Array = merged_by("residuals")
    bb: Array = total()

    @classmethod
    def of(cls, values: Array, w: Weighting, base: Array | None = None) -> Quotient:
        """The ratio of the weighted sums of `values` and `base` (ones, by default), each of shape (m,)."""
        if w.plain and base is None:
            count = w.total()
            mean, _, squares = centred(values, w)
            return cls(np.asarray(mean * count), count, count, count, squares, np.zeros(()), count)
        above = w.per_unit(w.value * values)
        below = w.per_unit(w.value if base is None else w.value * base)
        if w.draws is not None:
            sums = drawn_sums(np.stack([above, below], axis=1), w.draws)
            return Quotient(sums[:, 0], sums[:, 1])
        rest = _residuals(above, below)
        moments = (above.sum(), below.sum(), w.units, len(w.value), rest @ rest, rest @ below, below @ below)
        return cls(*(np.asarray(item, np.float64) for item in moments))

    @classmethod
    def _read(cls, record: Mapping[str, Any], read: Reader) -> dict[str, Any]:
        if record["version"] > 1:
            return super()._read(record, read)
        names = ("numerator", "denominator", "units", "elements", "aa", "ab", "bb")
        above, below, units, elements, aa, ab, bb = (read(record[name]) for name in names)
        mean = quotient(above, below, 0.0)
        rr = np.maximum(aa - 2 * mean * ab + mean * mean * bb, 0.0)
        # What cancels there left rounding of its own size.
        rr = np.where(rr > ROUNDING * (aa + mean * mean * bb), rr, 0.0)
        squares = bb + quotient(below**2, units, 0.0)
        values = (above, below, units, elements, rr, ab - mean * bb, squares)
        return dict(zip(cls.arrays(), values, strict=True))

    def _merged(self, other: Self) -> dict[str, Any]:
        weight = self.denominator + other.denominator
        rr, rb = self.rr + other.rr, self.rb + other.rb
        for mine, theirs in ((self, other), (other, self)):
            # How far the mean moves: a difference of ratios, not of means that one of the two hardly moves
            mean = quotient(mine.numerator, mine.denominator, 0.0)
            moved = quotient(theirs.numerator - mean * theirs.denominator, weight, 0.0)
            rr = rr - 2 * moved * mine.rb + moved * moved * mine.bb
            rb = rb - moved * mine.bb
        return {"rr": rr, "rb": rb}

    @property
    def standard_error(self) -> Array:
        """The error of the mean: the root of n / (n - 1) · Σ r_i², divided by Σ b_i.

        With equal weights this is s / √n; otherwise it is the linearised error of a ratio (Cochran, Sampling Techniques,
        1977, section 6.4). NaN below two units.
        """
        # Units that are all alike leave nothing but rounding.
        squares = np.where(self.rr > (ROUNDING * self.mean) ** 2 * self.bb, self.rr, 0.0)
        return quotient(np.sqrt(quotient(squares * self.units, self.units - 1)), np.abs(self.denominator))

    @property
    def effective_units(self) -> Array:
        """(Σ b)² / Σ b²: how many equally weighted units would say as much (Kish, Survey Sampling, 1965)."""
        return quotient(self.denominator**2, self.bb, 0.0)


def _residuals(above: Array, below: Array) -> Array:
    """Subtracts from each numerator what the ratio of all makes of its denominator; shapes (n,).

    The ratio of the unit that weighs most comes first: where it is nearly that of all, its residual is what the others leave.
    """
    if not len(below):
        return above
    heaviest = int(np.argmax(below))
    rest = above - quotient(above[heaviest], below[heaviest], 0.0) * below
    if below[heaviest]:
        rest[heaviest] = 0.0
    return np.asarray(rest - quotient(rest.sum(), below.sum(), 0.0) * below, np.float64)


@dataclass(frozen=True, eq=False)
class Extremum(State, kind="extremum"):
    """The largest value seen; -Infinity before any."""

    largest: Array = merged_by("maximum")

    @classmethod
    def of(cls, values: Array) -> Extremum:
        return cls(np.asarray(np.max(values, initial=-np.inf)))

    def _merged(self, other: Self) -> dict[str, Any]:
        return {"largest": np.maximum(self.largest, other.largest)}
