"""The image under test, built once, and the figures that are shown in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.image.building import VARIANT, build
from tests.image.running import Container, serving

FIGURES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, value in config.stash[FIGURES].items():
        terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> dict[str, str]:
    """What was measured, by name."""
    return request.config.stash[FIGURES]


@pytest.fixture(scope="session")
def image() -> str:
    """The tag of the image, built from this working tree."""
    tag = f"localhost/lossmeter:test-{VARIANT}"
    build(tag, TORCH=VARIANT, VERSION="test", REVISION="test")
    return tag


@pytest.fixture(scope="session")
def container(image: str) -> Iterator[Container]:
    """A container of it that is ready, read-only and without any capability."""
    with serving(image) as started:
        started.wait_until_ready()
        yield started
