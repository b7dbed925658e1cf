"""A rolling update under load, acted out: two replicas behind HAProxy, and one after the other is drained, ended and replaced.

HAPROXY=path/of/haproxy python -m tests.programs.cluster.rolling

It is what somebody does who takes two replicas of Compose in turns, and harder than what Kubernetes does with
`maxUnavailable: 0`, which starts the new one first: `/readyz` goes to 503 on SIGTERM, the balancer notices within its checks,
requests in flight are answered, the process ends, another one takes its place.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.load import Load
from tests.support.ports import reserve_port
from tests.support.processes import asked, ready, wait_until

DRAIN_SECONDS = 5  # as in docker/kubernetes
CONFIG = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 4s
frontend all
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  balance roundrobin
  option httpchk GET /readyz
  default-server inter 1s fall 2 rise 1
{servers}
"""


def replica(port: int, store: str) -> subprocess.Popen[bytes]:
    """Starts a replica on a port, and returns once it is ready."""
    command = [str(Path(sys.executable).parent / "lossmeter"), "serve", "--port", str(port)]
    command += ["--drain-seconds", str(DRAIN_SECONDS), "--threads", "1", "--log-level", "warning"]
    environment = {**os.environ, "LOSSMETER_STORE_URL": store, "LOSSMETER_AUTH": "off"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    wait_for(port, process)
    return process


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Returns once a process that was started is ready on its port."""
    wait_until(lambda: process.poll() is not None or ready(address(port)), "ready", 900, pause_seconds=0.2)
    assert process.poll() is None, process.returncode


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@contextmanager
def balancer(port: int, ports: list[int], folder: str) -> Iterator[None]:
    """Runs HAProxy before the replicas."""
    servers = "\n".join(f"  server replica{number} 127.0.0.1:{one} check" for number, one in enumerate(ports))
    config = Path(folder, "haproxy.cfg")
    config.write_text(CONFIG.format(port=port, servers=servers))
    with subprocess.Popen([os.environ.get("HAPROXY", "haproxy"), "-db", "-f", str(config)]) as process:
        try:
            wait_for(port, process)
            yield
        finally:
            process.terminate()


def main() -> None:
    with ExitStack() as reserved:
        ports = [reserved.enter_context(reserve_port()).getsockname()[1] for _ in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/runs.db"
        replicas = [replica(port, store) for port in ports[1:]]
        try:
            with balancer(ports[0], ports[1:], folder), Load(address(ports[0])) as load:
                time.sleep(5)
                for number, port in enumerate(ports[1:]):
                    begin, before = time.monotonic(), load.answers.total()
                    replicas[number].terminate()
                    time.sleep(0.5)
                    said, _ = asked(address(port), "/readyz")
                    status = replicas[number].wait(60)
                    ended = time.monotonic() - begin
                    replicas[number] = replica(port, store)
                    print(
                        f"replica {number}: /readyz {said} at once, ended with {status} after {ended:.1f} s, replaced after "
                        f"{time.monotonic() - begin:.1f} s; {load.answers.total() - before:,} requests meanwhile",
                        flush=True,
                    )
                    time.sleep(3)
            print(f"{dict(load.answers)}, slowest {load.slowest:.2f} s; load {os.getloadavg()[0]:.1f}", flush=True)
        finally:
            for one in replicas:
                one.kill()
                one.wait()


if __name__ == "__main__":
    main()
