"""What is built for the pages, against what it is built of."""

from __future__ import annotations

import gzip
import hashlib
import re

from lossmeter.api.routes.service import STATIC

SOURCE = STATIC.parent / "source"
SOURCES = re.compile(r"\.(tsx?|css|json|js)$")


def test_the_build_is_of_these_sources() -> None:
    """`make console` writes the hash; a stale build would show other pages than the sources say."""
    names = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*") if SOURCES.search(path.name)}
    digest = hashlib.sha256()
    for name in sorted(name for name in names if not name.startswith("node_modules/")):
        digest.update(name.encode() + b"\0" + names[name].read_bytes() + b"\0")
    assert (STATIC / "console" / "sources.sha256").read_text().strip() == digest.hexdigest(), "run make console"


def test_every_package_of_the_build_has_its_licence_beside_it() -> None:
    listed = (STATIC / "console" / "LICENSES.txt").read_text()
    bundled = {"preact", "d3-array", "d3-contour", "hyparquet", "marked"}
    assert bundled == set(re.findall(r"^== (\S+) ", listed, re.MULTILINE))
    imported = set()
    for path in SOURCE.rglob("*.ts*"):
        if "node_modules" not in path.relative_to(SOURCE).parts and path.name != "vite.config.ts":
            imported |= set(re.findall(r"from \"([^.\"/][^\"/]*)", path.read_text()))
    assert imported == bundled


def test_the_first_paint_is_small() -> None:
    files = [path for path in (STATIC / "console").iterdir() if path.suffix in {".js", ".css"}]
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in [*files, STATIC / "index.html"]}
    assert sum(sizes.values()) < 200_000, sizes
