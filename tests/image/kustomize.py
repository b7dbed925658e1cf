"""What `kubectl kustomize` makes of the manifests, as far as they use it: resources, patches and tags of images.

Anything else in a kustomization is an error here, so that nothing is passed over in silence. The kubectl of Debian 12 (1.20),
where this runs, knows no components; where there is a newer one, `test_kubernetes.py` compares.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "images"}
# By what the items of a list are told apart; any other list is replaced as a whole.
MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}


def documents(path: Path) -> list[Resource]:
    """The documents of a file of YAML."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def rendered(folder: Path, resources: tuple[Resource, ...] | list[Resource] = ()) -> list[Resource]:
    """The resources that a folder with a kustomization stands for; a component is applied to those that are there."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    if unknown := kustomization.keys() - KNOWN:
        raise ValueError(f"{folder}: {', '.join(sorted(unknown))} is not understood here")
    resources = list(resources)
    for name in kustomization.get("resources", []):
        path = (folder / name).resolve()
        resources += rendered(path) if path.is_dir() else documents(path)
    for name in kustomization.get("components", []):
        resources = rendered((folder / name).resolve(), resources)
    for entry in kustomization.get("patches", []):
        if entry.keys() != {"path"}:
            raise ValueError(f"{folder}: only patches that are files are understood here")
        for patch in documents(folder / entry["path"]):
            resources = _patched(resources, patch)
    for entry in kustomization.get("images", []):
        _rename(resources, entry)
    return resources


def _identity(resource: Resource) -> tuple[str, str, str]:
    return resource["apiVersion"], resource["kind"], resource["metadata"]["name"]


def _patched(resources: list[Resource], patch: Resource) -> list[Resource]:
    position = [_identity(resource) for resource in resources].index(_identity(patch))
    rest = resources[:position], resources[position + 1 :]
    if patch.get("$patch") == "delete":
        return [*rest[0], *rest[1]]
    return [*rest[0], merged(resources[position], patch), *rest[1]]


def merged(old: Any, new: Any, key: str = "") -> Any:
    """A strategic merge: objects field by field, lists with a merge key item by item, the rest by replacement."""
    if isinstance(old, dict) and isinstance(new, dict):
        result = {name: value for name, value in deepcopy(old).items() if new.get(name, value) is not None}
        for name, value in new.items():
            if value is not None:
                result[name] = merged(old.get(name), value, name)
        return result
    if isinstance(old, list) and isinstance(new, list) and key in MERGE_KEYS:
        name = MERGE_KEYS[key]
        present = {item[name]: item for item in old}
        patches = {item[name] for item in new}
        return [merged(present.get(item[name], {}), item) for item in new] + [
            deepcopy(item) for item in old if item[name] not in patches
        ]
    return deepcopy(new)


def _rename(resources: list[Resource], entry: dict[str, str]) -> None:
    for resource in resources:
        if resource["kind"] in {"Deployment", "Job"}:
            for container in resource["spec"]["template"]["spec"]["containers"]:
                if container["image"].partition(":")[0] == entry["name"]:
                    container["image"] = f"{entry['newName']}:{entry['newTag']}"
