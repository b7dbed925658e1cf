from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.image.building import ROOT, command
from tests.image.kustomize import Resource, documents, merged, rendered
from tests.image.running import run_once, serving_pod

FOLDER = ROOT / "docker" / "kubernetes"
GUIDE = ROOT / "docs" / "deployment.md"
OVERLAYS, COMPONENTS = (
    sorted(f"{kind}/{one.name}" for one in (FOLDER / kind).iterdir()) for kind in ("overlays", "components")
)
VARIANTS = ("base", *OVERLAYS)
OLDEST = "1.27"
MARGIN_SECONDS = 10  # workers that hang are killed 5 s after their time
VOLUMES = {"emptyDir", "persistentVolumeClaim"}

kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def of_kind(variant: str, kind: str) -> Resource:
    (found,) = (resource for resource in rendered(FOLDER / variant) if resource["kind"] == kind)
    return found


def pod_of(variant: str) -> Resource:
    pod: Resource = of_kind(variant, "Deployment")["spec"]["template"]["spec"]
    return pod


def pods(folder: Path) -> list[Resource]:
    return [each["spec"]["template"]["spec"] for each in rendered(folder) if each["kind"] in {"Deployment", "Job"}]


def strings(node: Any) -> Iterator[str]:
    """Every key and text in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node


def of_guide(folder: Path) -> list[Path]:
    """A folder for each kustomization that the guide shows, as somebody would have it who copied it from there."""
    shown = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", GUIDE.read_text(), re.DOTALL)
    folders = [folder / str(number) for number, _ in enumerate(shown)]
    for path, text in zip(folders, shown, strict=True):
        path.mkdir()
        (path / "kustomization.yaml").write_text(
            text.replace("lossmeter/docker/kubernetes", os.path.relpath(FOLDER, path))
        )
    return folders


@pytest.fixture
def production(tmp_path: Path) -> Path:
    """The folder of the kustomization of the guide."""
    (found,) = of_guide(tmp_path)
    return found


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("variant", [*VARIANTS, "guide"])
def test_every_resource_is_valid(variant: str, version: str, production: Path) -> None:
    resources = rendered(production if variant == "guide" else FOLDER / variant) + documents(
        FOLDER / "secret.example.yaml"
    )
    assert len(resources) > 5
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_field_that_does_not_exist_is_refused() -> None:
    wrong = merged(of_kind("base", "Deployment"), {"spec": {"template": {"spec": {"readOnly": True}}}})
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


@kubectl
@pytest.mark.parametrize("variant", [*VARIANTS, "guide"])
def test_kubectl_renders_the_same(variant: str, production: Path) -> None:
    folder = production if variant == "guide" else FOLDER / variant
    assert by_kubectl(folder) == in_order(rendered(folder))


@kubectl
@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_adds_components_alike(overlay: str, component: str, tmp_path: Path) -> None:
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(FOLDER / overlay, tmp_path)],
        "components": [os.path.relpath(FOLDER / component, tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    added = by_kubectl(tmp_path)
    assert added == in_order(rendered(tmp_path))
    assert added != in_order(rendered(FOLDER / overlay))


def by_kubectl(folder: Path) -> list[Resource]:
    """The resources that kubectl makes of a folder."""
    return in_order(yaml.safe_load_all(command("kubectl", "kustomize", folder)))


def in_order(resources: Iterable[Resource]) -> list[Resource]:
    """Resources by kind and name: kubectl has an order of its own."""
    return sorted(resources, key=lambda one: (one["kind"], one["metadata"]["name"]))


@pytest.mark.parametrize("variant", [*VARIANTS, "guide"])
def test_pods_meet_the_restricted_standard(variant: str, production: Path) -> None:
    for pod in pods(production if variant == "guide" else FOLDER / variant):
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {kind for volume in pod.get("volumes", []) for kind in volume.keys() - {"name"}} <= VOLUMES


def test_the_guide_reaches_everything(production: Path) -> None:
    deployment, job = pods(production)
    assert deployment["containers"][0]["image"] == job["containers"][0]["image"]
    assert job["containers"][0]["args"] == ["db", "upgrade"]
    (policy,) = (resource for resource in rendered(production) if resource["kind"] == "NetworkPolicy")
    assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == {53, 5432}


def test_overlays_differ_where_they_should() -> None:
    (cpu,), (gpu,) = pod_of("overlays/cpu")["containers"], pod_of("overlays/gpu")["containers"]
    assert cpu["image"].endswith("-cpu")
    assert gpu["image"].endswith("-cuda")
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]
    assert gpu["resources"]["limits"] == {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert "HorizontalPodAutoscaler" not in {resource["kind"] for resource in rendered(FOLDER / "overlays/gpu")}
    assert of_kind("overlays/cpu", "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


def test_one_pod_alone_has_the_volume() -> None:
    deployment = of_kind("overlays/volume", "Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert "HorizontalPodAutoscaler" not in {resource["kind"] for resource in rendered(FOLDER / "overlays/volume")}
    pod = deployment["template"]["spec"]
    assert {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]} == {"/tmp", "/data"}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_the_autoscaler_owns_the_number_of_pods() -> None:
    assert "replicas" not in of_kind("overlays/cpu", "Deployment")["spec"]


def monitor_of(component: str) -> Resource:
    return of_kind(f"components/{component}", "ServiceMonitor")


def test_everything_selects_the_same_pods() -> None:
    labels = of_kind("base", "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of_kind("base", "Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("base", "Service")["spec"]["selector"] == labels
    assert of_kind("base", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("base", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for component in ("prometheus", "prometheus-keys"):
        monitor = monitor_of(component)
        assert monitor["spec"]["selector"]["matchLabels"] == of_kind("base", "Service")["metadata"]["labels"]


def test_prometheus_asks_in_the_same_way_with_a_key() -> None:
    (open_to_all,), (guarded,) = (
        monitor_of(component)["spec"]["endpoints"] for component in ("prometheus", "prometheus-keys")
    )
    assert guarded == {
        **open_to_all,
        "authorization": {"credentials": {"name": "lossmeter-prometheus", "key": "token"}},
    }


@pytest.mark.parametrize("component", ["prometheus", "prometheus-keys"])
def test_the_operator_gets_the_alerts_that_prometheus_gets(component: str) -> None:
    (alerts,) = documents(ROOT / "docker" / "prometheus" / "rules.yaml")
    rule = of_kind(f"components/{component}", "PrometheusRule")
    assert rule["spec"] == alerts
    assert rule["metadata"]["name"] == "lossmeter"


def settings_in(pod: Resource) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}


def test_keys_are_asked_for_where_the_component_is(production: Path) -> None:
    assert settings_in(pod_of("overlays/cpu"))["LOSSMETER_AUTH"] == "off"
    assert settings_in(pods(production)[0])["LOSSMETER_AUTH"] == "required"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_paths_that_are_asked_for_exist(image: str, path: str) -> None:
    assert path in set(strings([pod_of("base"), rendered(FOLDER / "components/prometheus")]))
    assert path in json.loads(run_once(image, "openapi", entrypoint="lossmeter"))["paths"]


def test_settings_that_are_given_exist(image: str) -> None:
    files = [*FOLDER.rglob("*.yaml"), *FOLDER.parent.glob("compose*.yaml")]
    given = {text for file in files for document in documents(file) for text in strings(document)}
    names = {text.removeprefix("LOSSMETER_").lower() for text in given if re.fullmatch(r"LOSSMETER_[A-Z_]+", text)}
    assert {"device", "workers", "store_url"} <= names <= settings_of(image)


def settings_of(image: str) -> set[str]:
    """The names of the settings that the image knows."""
    return set(run_once(image, "-c", "from lossmeter.settings import Settings as S; print(*S.model_fields)").split())


def test_everything_that_stops_it_waits_until_it_has_stopped(image: str) -> None:
    code = "from lossmeter.settings import Settings as S; print(S().drain_seconds + S().grace_seconds)"
    at_most = float(run_once(image, "-c", code))
    drain = float(settings_in(pod_of("base"))["LOSSMETER_DRAIN_SECONDS"])
    assert pod_of("base")["terminationGracePeriodSeconds"] >= drain + at_most + MARGIN_SECONDS
    (compose,) = documents(FOLDER.parent / "compose.yaml")
    assert float(compose["services"]["lossmeter"]["stop_grace_period"].rstrip("s")) >= at_most + MARGIN_SECONDS


def test_the_pod_runs(image: str, tmp_path: Path) -> None:
    deployment = of_kind("overlays/cpu", "Deployment")
    with serving_pod(image, deployment, tmp_path) as container:
        container.wait_until_ready()
        assert container.request("GET", "/healthz")[0] == 200
        status = container.execute("cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status
        assert "Seccomp:\t2" in status
        with pytest.raises(RuntimeError, match="Read-only file system"):
            container.execute("touch", "/opt/lossmeter/seen")
