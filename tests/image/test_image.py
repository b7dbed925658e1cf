from __future__ import annotations

import json
import math
import re
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from tests.image.building import ROOT, SECRET, VARIANT, base, command
from tests.image.running import LIMITS, LOCKED_DOWN, PODMAN, Container, free_port, run_once, serving
from tests.support.certificates import certificate_in

CROSS_ENTROPY = json.dumps({"predictions": [[2.0, -1.0, 0.3]], "labels": [0], "gradients": ["predictions"]}).encode()
EXPECTED = math.log(1 + math.exp(-1 - 2) + math.exp(0.3 - 2))

INSTALLED = """
import importlib.metadata as m
print(*(f"{d.name}=={d.version}" for d in m.distributions()), sep="\\n")
"""
# Of the client; for jax, which is no part of a server.
ELSEWHERE = {"lossmeter.client.jax"}
EVERY_MODULE = f"""
import importlib, pkgutil, lossmeter
names = {{m.name for m in pkgutil.walk_packages(lossmeter.__path__, "lossmeter.")}} - {ELSEWHERE}
print(sum(1 for name in names if importlib.import_module(name)))
"""
WITHOUT_BYTECODE = """
import os, sys, lossmeter.cli, lossmeter.api.app, lossmeter.serving.server, uvicorn.main
ours = [m for m in list(sys.modules.values()) if (getattr(m, "__file__", None) or "").startswith("/opt/")]
sources = [m for m in ours if m.__file__.endswith(".py")]
assert len(sources) > 500
print(*(m.__file__ for m in sources if not os.path.exists(m.__cached__)), sep="\\n")
"""
BUILDS = re.compile(
    r"bin/(pip|gcc|g\+\+|cc|c\+\+|cpp|clang|ld|make|git|hatch)[-\d.]*$|-packages/(pip|wheel|hatchling|triton)(-[\d.]+dist-info)?$"
    r"|^(opt|usr/local)/(?!.*/nvidia/).*\.(a|h|whl)$|(^|/)\.cache/|\.deb$|^var/lib/apt/lists/(?!lock|partial)|^(tmp|build|package)/."
)
SIZE_OF_TORCH = """
import importlib.metadata as m
print(sum(file.size or 0 for file in m.files("torch")))
"""


def canonical(requirement: str) -> str:
    return requirement.lower().replace("_", "-").partition("+")[0]


def test_the_first_request_gets_the_right_value(container: Container) -> None:
    status, answer = container.request("POST", "/v1/losses/cross_entropy", CROSS_ENTROPY)
    assert status == 200
    assert answer["value"] == pytest.approx(EXPECTED, abs=1e-5)
    assert sum(answer["gradients"]["predictions"]["data"]) == pytest.approx(0, abs=1e-6)


def test_the_console_and_the_documentation_are_in_the_image(container: Container) -> None:
    assert container.request("GET", "/openapi.json")[0] == 200
    assert "index.md" in container.execute("find", "/opt/lossmeter", "-path", "*/web/guides/index.md")


def test_the_check_of_health_passes(container: Container) -> None:
    command(*PODMAN, "healthcheck", "run", container.id)


def test_the_check_of_health_can_fail(container: Container) -> None:
    kind, *check = json.loads(
        command("podman", "inspect", container.id, "--format", "{{json .Config.Healthcheck.Test}}")
    )
    assert kind == "CMD"
    elsewhere = [*PODMAN, "exec", f"--env=LOSSMETER_PORT={free_port()}", container.id, *check]
    assert subprocess.run(elsewhere, stderr=subprocess.DEVNULL).returncode == 1


def test_the_check_of_health_speaks_tls_where_the_server_does(image: str, tmp_path: Path) -> None:
    certificate_in(tmp_path)
    tmp_path.chmod(0o755)
    for file in tmp_path.iterdir():
        file.chmod(0o644)  # whoever serves in the container is nobody here
    options = (*LOCKED_DOWN, f"--volume={tmp_path}:/tls:ro")
    with serving(image, options=options, tls_certificate="/tls/certificate.pem", tls_key="/tls/key.pem") as container:
        for _ in range(60):
            time.sleep(1)
            if subprocess.run([*PODMAN, "healthcheck", "run", container.id], stdout=subprocess.DEVNULL).returncode == 0:
                return
        raise AssertionError(container.logs())


def test_the_server_is_the_first_process_and_has_no_privileges(container: Container) -> None:
    status = dict(line.split(":\t", 1) for line in container.execute("cat", "/proc/1/status").splitlines())
    assert status["Name"] == "lossmeter"
    assert status["Uid"].split() == ["10001"] * 4
    assert status["NoNewPrivs"] == "1"
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}


def test_it_asks_for_keys_unless_it_is_told_not_to(image: str) -> None:
    with serving(image, options=("--cap-drop=ALL",), auth="auto") as container:
        container.wait_until_ready()
        assert container.request("POST", "/v1/losses/cross_entropy", CROSS_ENTROPY)[0] == 401
        token = container.execute("lossmeter", "keys", "create", "test", "--scope", "evaluate").strip()
        assert token.startswith("lm_")


def test_any_user_may_run_it(image: str) -> None:
    with serving(image, options=(*LOCKED_DOWN, "--user=54321:0")) as container:
        container.wait_until_ready()
        assert container.request("POST", "/v1/losses/cross_entropy", CROSS_ENTROPY)[0] == 200


def test_nothing_is_written(image: str) -> None:
    with serving(image, options=("--cap-drop=ALL",), workers=2) as container:
        container.wait_until_ready()
        assert container.request("POST", "/v1/losses/cross_entropy", CROSS_ENTROPY)[0] == 200
        # podman puts names of hosts there, whatever runs; the workers add up what they count.
        changes = {change for change in container.changes() if " /tmp/lossmeter-metrics-" not in change}
        assert changes <= {"C /etc", "C /run", "A /run/.containerenv", "C /tmp"}
        container.execute("touch", "/tmp/seen")
        assert "A /tmp/seen" in container.changes()


def test_nothing_that_builds_is_left(image: str) -> None:
    assert left_over(image) == []


def test_what_builds_would_be_seen() -> None:
    assert "usr/local/bin/pip" in left_over(base())


def left_over(image: str) -> list[str]:
    """What is in the image of installers, compilers, their caches and their sources."""
    root = mounted(image)
    return [name for path in root.rglob("*") if BUILDS.search(name := str(path.relative_to(root)))]


def mounted(image: str) -> Path:
    return Path(command("podman", "image", "mount", image).strip())


def test_no_setting_of_pip_is_left_in_the_image(image: str) -> None:
    root = mounted(image)
    assert not (root / "etc/pip.conf").exists()
    assert holding("lossmeter: listening on", root / "opt") != []
    assert holding(SECRET, *root.iterdir()) == []
    assert SECRET not in command("podman", "history", "--no-trunc", image)


def holding(text: str, *places: Path) -> list[str]:
    """The files that have the text in them."""
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--fixed-strings", text, *places],
        text=True,
        stdout=subprocess.PIPE,
    )
    return found.stdout.splitlines()


def test_every_distribution_is_the_pinned_one(image: str) -> None:
    pinned = {canonical(line) for line in (ROOT / "constraints.txt").read_text().split()}
    installed = {canonical(line) for line in run_once(image, "-c", INSTALLED).split()}
    assert {name for name in installed - pinned if not name.startswith("lossmeter==")} == set()
    assert len(installed) > 30


def test_the_build_of_torch_is_the_one_asked_for(image: str) -> None:
    shown = run_once(image, "-c", "import torch; print(torch.version.cuda is None)")
    assert shown == f"{VARIANT == 'cpu'}\n"


def test_without_the_gpu_that_it_was_promised_it_ends(image: str) -> None:
    with serving(image, device="cuda") as container:
        assert container.exit_code() == 1
        assert "device 'cuda' cannot be used" in container.logs()


def test_every_module_can_be_imported(image: str) -> None:
    assert int(run_once(image, "-c", EVERY_MODULE)) > 40


def test_nothing_that_serving_imports_lacks_bytecode(image: str) -> None:
    assert run_once(image, "-c", WITHOUT_BYTECODE).split() == []


def test_other_commands_work(image: str) -> None:
    shown = command(*PODMAN, "run", "--rm", *LIMITS, *LOCKED_DOWN, image, "losses", "huber")
    assert "delta" in shown


def test_threads_follow_the_quota(image: str) -> None:
    code = "from lossmeter.settings import Settings; print(Settings().torch_threads)"
    assert run_once(image, "-c", code, options=(*LOCKED_DOWN, "--cpus=1")) == "1\n"


def test_labels_say_what_it_is(image: str) -> None:
    labels = json.loads(command("podman", "image", "inspect", image, "--format", "{{json .Labels}}"))
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == "lossmeter"
    assert labels[prefix + "version"] == labels[prefix + "revision"] == "test"
    assert labels[prefix + "licenses"] == "Apache-2.0"


def test_it_is_small(image: str, figures: dict[str, str]) -> None:
    size, base_size = (
        int(command("podman", "image", "inspect", tag, "--format", "{{.Size}}")) for tag in (image, base())
    )
    torch = int(run_once(image, "-c", SIZE_OF_TORCH))
    figures["size of the image"] = (
        f"{size / 1e6:.0f} MB, {size / torch:.2f} times torch as it comes ({torch / 1e6:.0f} MB); "
        f"{base_size / 1e6:.0f} MB of them are the base"
    )
    if VARIANT == "cpu":
        assert size <= 1.3 * torch


def test_it_is_ready_soon(image: str, figures: dict[str, str]) -> None:
    seconds, busy = [], []
    for _ in range(5):
        with serving(image) as container:
            seconds.append(container.wait_until_ready(60))
            busy.append(container.processor_seconds())
    figures["time to ready"] = (
        f"{statistics.median(seconds):.1f} s from the start of the container ({min(seconds):.1f} to {max(seconds):.1f}), "
        f"{statistics.median(busy):.1f} s of them on the processor"
    )
