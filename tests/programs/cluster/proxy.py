"""One worker behind the ways into Ray Serve beside one without it: the same small request, by wrk, in turns.

build/ray/bin/python -m tests.programs.cluster.proxy proxy|default|throughput|haproxy …
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.support.ports import reserve_port
from tests.support.ray import VARIABLES

ROWS, CLASSES = 32, 10
BODY = {
    "predictions": [[(7 * row + 3 * column) % 19 / 8 - 1 for column in range(CLASSES)] for row in range(ROWS)],
    "labels": [row % CLASSES for row in range(ROWS)],
}
PATH = "/v1/losses/cross_entropy"
CONNECTIONS, SECONDS, ROUNDS = 16, 4, 5
SCRIPT = f"""wrk.method = "POST"
wrk.body = '{json.dumps(BODY)}'
wrk.headers["Content-Type"] = "application/json"
"""
WAYS = {
    "proxy": {},
    "default": {"MAX_ONGOING": "5"},
    "throughput": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
    "haproxy": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"},
}
DEPLOY = """
import os, sys, ray
from ray import serve
from ray.cluster_utils import Cluster
from tests.support.ray import add_node, be_patient
be_patient()
cluster = Cluster()
add_node(cluster, num_cpus=3, object_store_memory=200_000_000)
ray.init(address=cluster.address, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
from lossmeter.cluster.deployment import application
more = {"max_ongoing_requests": int(os.environ["MAX_ONGOING"])} if "MAX_ONGOING" in os.environ else {}
serve.run(application(**more), route_prefix="/")
print("ready", flush=True)
sys.stdin.read()
serve.shutdown()
ray.shutdown()
cluster.shutdown()
"""


@contextmanager
def served(way: str, port: int) -> Iterator[int]:
    """Runs one worker, reached that way, on a port; gives the process above all of it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            **WAYS.get(way, {}),
            "LOSSMETER_AUTH": "off",
            "LOSSMETER_THREADS": "1",
            "LOSSMETER_STORE_URL": f"sqlite:///{folder}/runs.db",
            **VARIABLES,
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        }
        if way == "serve":
            command = [str(Path(sys.executable).parent / "lossmeter"), "serve", "--port", str(port)]
        else:
            command = [sys.executable, "-c", DEPLOY, str(port)]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            try:
                yield process.pid
            finally:
                assert process.stdin is not None
                process.stdin.close()
                if way == "serve":
                    process.terminate()
                process.wait(120)


def wait(port: int, seconds: float = 1200) -> None:
    """Returns once the address answers a request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{PATH}", json.dumps(BODY).encode(), {"Content-Type": "application/json"}
    )
    until = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                print(answer.status, answer.read()[:80], flush=True)
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def descendants(root: int) -> dict[int, str]:
    """The processes below one, itself included, and how they are called."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
                names[int(entry.name)] = (entry / "comm").read_text().strip()

    def below(one: int) -> bool:
        while one and one != root:
            one = parents.get(one, 0)
        return one == root

    return {one: name for one, name in names.items() if below(one)}


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def processor_seconds(root: int) -> float:
    """Adds up the processor time of a process and its descendants, those that have ended included."""
    ticks = 0
    for pid in descendants(root):
        with suppress(OSError):
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """What one round has found.

    Attributes:
        rate: requests a second.
        median: milliseconds to the answer.
        slow: milliseconds within which 99 of 100 are answered.
        spent: microseconds of processor time of a request, in all processes but the client; holds on a busy machine too.
        failed: what wrk says of requests without an answer of 200.
    """

    rate: float
    median: float
    slow: float
    spent: float
    failed: str


def measure(port: int, root: int) -> Figures:
    """Lets wrk ask for some seconds."""
    before = processor_seconds(root)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        address = f"http://127.0.0.1:{port}{PATH}"
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", script.name, address]
        told = subprocess.run(["wrk", *options], capture_output=True, text=True, check=True).stdout
    spent = processor_seconds(root) - before
    count = re.search(r"(\d+) requests in", told)
    rate = re.search(r"Requests/sec:\s+(\S+)", told)
    latency = dict(re.findall(r"\s(50|99)%\s+(\S+)", told))
    errors = re.search(r"Non-2xx.*|Socket errors.*", told)
    assert rate is not None, told
    assert count is not None, told
    failed = errors[0] if errors else ""
    return Figures(
        float(rate[1]), _milliseconds(latency["50"]), _milliseconds(latency["99"]), 1e6 * spent / int(count[1]), failed
    )


def at_rest(root: int) -> float:
    """Returns how many cores a way takes while nobody asks."""
    before = processor_seconds(root)
    time.sleep(SECONDS)
    return (processor_seconds(root) - before) / SECONDS


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]


def told(name: str, rounds: list[Figures]) -> str:
    """Says the medians of the rounds."""
    rate, middle, slow, spent = (
        median(getattr(one, field) for one in rounds) for field in ("rate", "median", "slow", "spent")
    )
    failed = "; ".join(one.failed for one in rounds if one.failed)
    return (
        f"{name:>10}: {rate:6.0f} requests/s, median {middle:.1f} ms, 99 % {slow:.1f} ms, {spent:.0f} µs each {failed}"
    )


def main(ways: list[str]) -> None:
    with ExitStack() as open_ports:
        plain, ray = (open_ports.enter_context(reserve_port()).getsockname()[1] for _ in range(2))
    with served("serve", plain) as plain_root:
        wait(plain)
        for way in ways:
            with served(way, ray) as root:
                wait(ray)
                measure(ray, root)
                idle = at_rest(root)
                both = [(measure(plain, plain_root), measure(ray, root)) for _ in range(ROUNDS)]
            times = median(one.rate / other.rate for one, other in both)
            spent = median(other.spent / one.spent for one, other in both)
            print(told("serve", [one for one, _ in both]))
            print(told(way, [other for _, other in both]))
            print(f"{'at rest':>10}: {100 * idle:.0f} % of a core in all processes of this way")
            print(f"{times:.1f} times as many requests/s without, {spent:.1f} times the processor time with", end="; ")
            print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(WAYS))
