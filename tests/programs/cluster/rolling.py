"""A rolling update under load, acted out: two replicas behind HAProxy, and one after the other is drained, ended and replaced.

HAPROXY=path/of/haproxy python -m tests.programs.cluster.rolling

It is what somebody does who takes two replicas of Compose in turns, and harder than what Kubernetes does with
`maxUnavailable: 0`, which starts the new one first: `/readyz` goes to 503 on SIGTERM, the balancer notices within its checks,
requests in flight are answered, the process ends, another one takes its place.
"""

from __future__ import annotations

import collections
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from tests.support.ports import reserve_port

BODY = json.dumps({"predictions": [[0.2, 1.1, -0.3], [2.0, 0.1, 0.4]], "labels": [1, 0]})
CLIENTS = 8
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


class Load:
    """Clients that send one request after the other over connections that stay open, and count how each was answered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.counts: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for one in self._threads:
            one.join()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self._ended.is_set():
            begin = time.monotonic()
            try:
                connection.request("POST", "/v1/losses/cross_entropy", BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                self.counts[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.counts[type(error).__name__] += 1
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - begin)


def replica(port: int, store: str) -> subprocess.Popen[bytes]:
    """Starts a replica on a port, and returns once it is ready."""
    command = [str(Path(sys.executable).parent / "lossmeter"), "serve", "--port", str(port)]
    command += ["--drain-seconds", str(DRAIN_SECONDS), "--threads", "1", "--log-level", "warning"]
    environment = {**os.environ, "LOSSMETER_STORE_URL": store, "LOSSMETER_AUTH": "off"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 900
    while ready(port) != 200:
        assert process.poll() is None, process.returncode
        assert time.monotonic() < until
        time.sleep(0.2)
    return process


def ready(port: int) -> int:
    """What `/readyz` says; 0 where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


@contextmanager
def balancer(port: int, ports: list[int], folder: str) -> Iterator[None]:
    """Runs HAProxy before the replicas."""
    servers = "\n".join(f"  server replica{number} 127.0.0.1:{one} check" for number, one in enumerate(ports))
    config = Path(folder, "haproxy.cfg")
    config.write_text(CONFIG.format(port=port, servers=servers))
    with subprocess.Popen([os.environ.get("HAPROXY", "haproxy"), "-db", "-f", str(config)]) as process:
        try:
            while ready(port) != 200:
                assert process.poll() is None, process.returncode
                time.sleep(0.2)
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
            with balancer(ports[0], ports[1:], folder), Load(ports[0]) as load:
                time.sleep(5)
                for number, port in enumerate(ports[1:]):
                    begin, before = time.monotonic(), load.counts.total()
                    replicas[number].terminate()
                    time.sleep(0.5)
                    said = ready(port)
                    status = replicas[number].wait(60)
                    ended = time.monotonic() - begin
                    replicas[number] = replica(port, store)
                    print(
                        f"replica {number}: /readyz {said} at once, ended with {status} after {ended:.1f} s, replaced after "
                        f"{time.monotonic() - begin:.1f} s; {load.counts.total() - before:,} requests meanwhile",
                        flush=True,
                    )
                    time.sleep(3)
            print(f"{dict(load.counts)}, slowest {load.slowest:.2f} s; load {os.getloadavg()[0]:.1f}", flush=True)
        finally:
            for one in replicas:
                one.kill()
                one.wait()


if __name__ == "__main__":
    main()
