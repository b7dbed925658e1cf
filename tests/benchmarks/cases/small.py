"""Cross entropy with gradient on [32, 10] in JSON, from many connections at once."""

from __future__ import annotations

from tests.benchmarks.load import Rate, request, saturate
from tests.benchmarks.payloads import as_json, classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import (
    CLIENT_CORE,
    ECHO,
    HELLO,
    LITSERVE_APP,
    NAIVE,
    SERVICE,
    Server,
    pinned,
    present,
    started,
)

SHAPE = (32, 10)
CONNECTIONS = 16
ROUNDS = 15


def measure(quick: bool) -> Result:
    result = Result("small", f"Cross entropy with gradient, [32, 10] JSON, {CONNECTIONS} connections")
    payload = as_json("cross_entropy", classification(*SHAPE))
    result.notes.append(f"{len(payload.body):,} bytes in.")
    hello = request("GET", "/")
    shares: dict[str, float] = {}
    with started(present([SERVICE, HELLO, NAIVE, LITSERVE_APP, ECHO])) as servers:
        for server in servers:
            _rate(server, hello if server.subject is HELLO else payload.prepared, 0.5)
        for _ in range(5 if quick else ROUNDS):
            for server in servers:
                before = server.processor_seconds()
                rate = _rate(server, hello if server.subject is HELLO else payload.prepared, 0.5 if quick else 1.0)
                used = (server.processor_seconds() - before) / rate.answers
                result.add(server.subject.name, "requests/s", rate.per_second, used * 1e3)
                shares[server.subject.name] = max(shares.get(server.subject.name, 0.0), rate.client_share)
    result.compare("lossmeter ÷ FastAPI hello world", "lossmeter", "FastAPI hello world", 0.8)
    result.compare("lossmeter ÷ naive FastAPI", "lossmeter", "naive FastAPI", 6)
    result.compare("lossmeter ÷ LitServe", "lossmeter", "LitServe", 12)
    result.compare("lossmeter ÷ ASGI echo", "lossmeter", "ASGI echo")
    used = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    result.notes.append(f"Share of its own core that the client used, at most: {used}.")
    return result


def _rate(server: Server, prepared: bytes, seconds: float) -> Rate:
    with server.running() as port, pinned(CLIENT_CORE):
        rate = saturate(port, prepared, CONNECTIONS, seconds)
    if rate.failures:
        raise RuntimeError(f"{server.subject.name}: {rate.failures} of {rate.answers} answers were not 200")
    return rate
