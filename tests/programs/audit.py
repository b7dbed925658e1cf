"""Judges what `make sbom` and `make audit` found: `python -m tests.programs.audit FOLDER`.

pip-audit reports success where its list could not be reached, since it passes over what it does not find. Here that is a
failure: who did not look has found nothing out.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "service" / "lossmeter" / "web" / "static"
ALLOWED = re.compile(
    r"MIT|BSD|0BSD|ISC|Apache|PSF|Zlib|CC0|BSL-1\.0|MPL|Mozilla Public|LGPL-3\.0-only|LLVM-exception|Python Software|Unlicense"
)
"""Licences whose files may be passed on in an image: psycopg, under the LGPL, is a package of its own there, as it came."""
SILENT = {"pysimdjson": "Apache-2.0 OR MIT", "lossmeter": "Apache-2.0"}
"""Licences of packages whose metadata name none."""


def flaws_of_audit(document: dict[str, Any]) -> Iterator[str]:
    """What is wrong by what pip-audit wrote, with all that it passed over."""
    packages = document["dependencies"]
    passed_over = [one for one in packages if "skip_reason" in one]
    if passed_over:
        reason = passed_over[0]["skip_reason"]
        yield f"could not look: {len(passed_over)} of {len(packages)} packages were passed over ({reason})"
    if not packages:
        yield "could not look: there are no packages"
    for one in packages:
        for found in one.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            yield f"{one['name']} {one['version']}: {found['id']}, mended in {fixed}"


def licences_of(component: dict[str, Any]) -> list[str]:
    """The licences of a component of CycloneDX, as it spells them."""
    found = []
    for entry in component.get("licenses", ()):
        licence = entry.get("license", {})
        found.append(entry.get("expression") or licence.get("id") or licence.get("name"))
    return found or [SILENT[name] for name in (component["name"],) if name in SILENT]


def flaws_of_bill(document: dict[str, Any]) -> Iterator[str]:
    """Components whose licence is not known, or not allowed."""
    for one in document["components"]:
        licences = licences_of(one)
        if not licences:
            yield f"{one['name']} {one['version']}: no licence"
        for licence in licences:
            parts = re.split(r"\s+(?:AND|OR|WITH)\s+", licence.strip("()"))
            if unknown := [part for part in parts if not ALLOWED.search(part)]:
                yield f"{one['name']} {one['version']}: {', '.join(unknown)}"


def vendored() -> Iterator[tuple[str, str]]:
    """What the pages bring along, and the files with its licence; none where there is none."""
    for folder in sorted(path for path in STATIC.iterdir() if path.is_dir()):
        files = [path.name for path in sorted(folder.iterdir()) if re.search("licen|notice", path.name, re.IGNORECASE)]
        yield folder.name, ", ".join(files)


def main() -> int:
    """Entry point of `python -m tests.programs.audit`."""
    folder = Path(sys.argv[1])
    audit = (
        json.loads((folder / "audit.json").read_text()) if (folder / "audit.json").exists() else {"dependencies": []}
    )
    (bill,) = (json.loads(path.read_text()) for path in folder.glob("*.cdx.json"))
    components = {one["name"]: one["version"] for one in bill["components"]}
    sys.stdout.write(f"{len(components)} packages in the bill of materials\n")
    for name, files in vendored():
        sys.stdout.write(f"static/{name}: {files or 'licences in static/console/LICENSES.txt'}\n")
    flaws = [*(f"licence: {one}" for one in flaws_of_bill(bill)), *(f"audit: {one}" for one in flaws_of_audit(audit))]
    sys.stdout.writelines(f"{one}\n" for one in flaws or ["no known vulnerability, and no licence that is in the way"])
    return bool(flaws)


if __name__ == "__main__":
    sys.exit(main())
