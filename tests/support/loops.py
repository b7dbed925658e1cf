"""Many small cases in one test: a test for each would cost more than the cases."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

Values = Iterable[Any] | Mapping[str, Any]


def for_each(argument: str, values: Values | Callable[[], Values]) -> Callable[[Callable[..., None]], Any]:
    """Runs a test for each of some values, all in one, and names each value for which it fails.

    Args:
        argument: the argument of the test that gets a value, by name.
        values: the values, or values by the names that tell them apart; a function of them is called when the test runs.
    """

    def decorate(test: Callable[..., None]) -> Any:
        def run(**given: Any) -> None:
            made = values() if callable(values) else values
            named = list(made.items()) if isinstance(made, Mapping) else [(str(value), value) for value in made]
            assert named, f"no values of {argument}"
            failed: dict[str, BaseException] = {}
            for name, value in named:
                try:
                    test(**{argument: value}, **given)
                except BaseException as error:
                    error.add_note(f"{argument} is {name}")
                    if isinstance(error, (Exception, pytest.fail.Exception)):
                        failed[name] = error
                    elif failed and isinstance(error, pytest.skip.Exception):
                        break  # what has failed is not skipped
                    else:
                        raise
            if failed:
                # A traceback shows 15 of a group.
                message = f"{len(failed)} of {len(named)} fail: {', '.join(failed)}"
                raise BaseExceptionGroup(message, list(failed.values()))

        signature = inspect.signature(test)
        rest = [one for one in signature.parameters.values() if one.name != argument]
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        run.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
        return run

    return decorate
