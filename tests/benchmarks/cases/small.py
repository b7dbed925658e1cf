"""Cross entropy with gradient on [32, 10], from many connections at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.benchmarks.load import Rate, request, saturate
from tests.benchmarks.payloads import FORMS, Payload, classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import (
    ASGI,
    CLIENT_CORE,
    CORES,
    ECHO,
    HELLO,
    LITSERVE_APP,
    NAIVE,
    SERVICE,
    Server,
    pinned,
    present,
    settle,
    spinning,
    started,
)
from tests.benchmarks.support import served

SHAPE = (32, 10)
CONNECTIONS = 16
ROUNDS = 15
BUSY = ", beside busy processes"
WRK = shutil.which("wrk")
SCRIPT = """\
local file = io.open("{body}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
"""


def measure(quick: bool) -> Result:
    result = Result("small", f"Cross entropy with gradient, [32, 10], {CONNECTIONS} connections")
    payloads = [form("cross_entropy", classification(*SHAPE)) for form in FORMS.values()]
    sizes = ", ".join(f"{payload.form} {len(payload.body):,}" for payload in payloads)
    result.notes.append(f"Bytes in: {sizes}.")
    hello = request("GET", "/")
    json = payloads[0].prepared
    shares: dict[str, float] = {}
    with started(present([SERVICE, ASGI, HELLO, NAIVE, LITSERVE_APP, ECHO])) as servers:
        service = servers[0]
        steps = [(server.subject.name, server, hello if server.subject is HELLO else json) for server in servers]
        binary = [payload for payload in payloads[1:] if served(service, payload, result)]
        steps += [(f"{SERVICE.name}, {payload.form}", service, payload.prepared) for payload in binary]
        for _, server, prepared in steps:
            _rate(server, prepared, 0.5)
        for _ in range(5 if quick else ROUNDS):
            for name, server, prepared in steps:
                before = server.processor_seconds()
                rate = _rate(server, prepared, 0.5 if quick else 1.0)
                used = (server.processor_seconds() - before) / rate.answers
                result.add(name, "requests/s", rate.per_second, used * 1e3)
                shares[name] = max(shares.get(name, 0.0), rate.client_share)
            if WRK and not quick:
                for server in (service, servers[-1]):
                    result.add(f"{server.subject.name}, asked by wrk", "requests/s", _wrk(server, payloads[0]))
        _add_busy_rounds(result, json, 2 if quick else 5)
    result.compare("lossmeter ÷ FastAPI hello world", "lossmeter", "FastAPI hello world", 1.5)
    result.compare("lossmeter under uvicorn alone ÷ FastAPI hello world", ASGI.name, "FastAPI hello world", 1.0)
    result.compare("lossmeter ÷ naive FastAPI", "lossmeter", "naive FastAPI", 8)
    result.compare("the same, beside busy processes", f"lossmeter{BUSY}", f"naive FastAPI{BUSY}", 5)
    result.compare("lossmeter ÷ LitServe", "lossmeter", "LitServe", 12)
    result.compare("lossmeter ÷ ASGI echo", "lossmeter", "ASGI echo")
    used = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    result.notes.append(f"Share of its own core that the client used, at most: {used}.")
    return result


def _add_busy_rounds(result: Result, prepared: bytes, rounds: int) -> None:
    """Measures beside one busy process a core, with as many threads as there are cores: a thread that waits shows here."""
    threads = {"LOSSMETER_THREADS": "0", "OMP_NUM_THREADS": str(len(CORES))}
    servers = [Server(subject, threads) for subject in (SERVICE, NAIVE)]
    try:
        for server in servers:
            os.sched_setaffinity(server.process.pid, CORES)
            _rate(server, prepared, 3.0)  # programs of the kind are recorded meanwhile
        with spinning():
            for _ in range(rounds):
                for server in servers:
                    rate = _rate(server, prepared, 0.5)
                    result.add(f"{server.subject.name}{BUSY}", "requests/s", rate.per_second)
    finally:
        for server in servers:
            server.end()


def _rate(server: Server, prepared: bytes, seconds: float) -> Rate:
    with server.running() as port, pinned(CLIENT_CORE):
        rate = saturate(port, prepared, CONNECTIONS, seconds)
    if rate.failures:
        raise RuntimeError(f"{server.subject.name}: {rate.failures} of {rate.answers} answers were not 200")
    return rate


def _wrk(server: Server, payload: Payload) -> float:
    """The same load by a client written in C: whether it is the server that is measured, and not the client."""
    assert WRK is not None
    with tempfile.TemporaryDirectory() as folder, server.running() as port:
        body, script = Path(folder, "body"), Path(folder, "post.lua")
        body.write_bytes(payload.body)
        script.write_text(SCRIPT.format(body=body))
        address = f"http://127.0.0.1:{port}{payload.path}"
        command = [
            WRK,
            "--threads",
            "1",
            "--connections",
            str(CONNECTIONS),
            "--duration",
            "1s",
            "--script",
            str(script),
        ]
        done = subprocess.run(
            [*command, address],
            capture_output=True,
            text=True,
            check=True,
            start_new_session=True,
            preexec_fn=lambda: settle(CLIENT_CORE),
        )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])
