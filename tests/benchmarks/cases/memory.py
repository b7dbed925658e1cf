"""The most memory that one request takes, over what the idle server holds."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.load import Connection
from tests.benchmarks.payloads import FORMS, classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import NAIVE, SERVICE, Server, Subject, started
from tests.benchmarks.support import served

SHAPE = (1024, 1000)
WARM_UPS = 200
ROUNDS = 3
METHOD = (
    "Peak of the resident memory of the server's process during one request (`VmHWM`, reset before it by writing 5 to "
    "`/proc/PID/clear_refs`), less what it held before, over the 4 bytes of each logit. The server is fresh and has "
    f"answered {WARM_UPS} small requests, no large one: memory kept from an earlier one would flatter. *Ten more*: "
    "during ten further ones, over the same start, so that what the allocator keeps for the next request counts too."
)


def measure(quick: bool) -> Result:
    result = Result("memory", "Peak memory of one request, cross entropy with gradient, [1024, 1000] FP32")
    result.notes.append(METHOD)
    for subject, forms in ((SERVICE, FORMS), (NAIVE, {"JSON": FORMS["JSON"]})):
        for form in forms:
            for _ in range(1 if quick else ROUNDS):
                if not _round(subject, form, result):
                    break
    for form, aim in (("JSON", 8.0), ("safetensors", 3.5), ("Open Inference", 3.5)):
        for which in ("first", "ten more"):
            result.bound(f"{SERVICE.name}, {form}, {which}", "× the tensor", aim)
    return result


def _round(subject: Subject, form: str, result: Result) -> bool:
    tensors = classification(*SHAPE)
    size = tensors["predictions"].nbytes
    large = FORMS[form]("cross_entropy", tensors)
    small = FORMS[form]("cross_entropy", classification(32, 10))
    with started([subject]) as (server,):
        if not served(server, small, result):
            return False
        with server.running() as port, Connection(port) as connection:
            for _ in range(WARM_UPS):
                connection.exchange(small.prepared)
            idle = _resident(server, "VmRSS")
            for name, count in ((f"{subject.name}, {form}, first", 1), (f"{subject.name}, {form}, ten more", 10)):
                Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
                for _ in range(count):
                    if connection.exchange(large.prepared).status != 200:
                        raise RuntimeError(f"{subject.name} refused {form}")
                result.add(name, "× the tensor", (_resident(server, "VmHWM") - idle) / size)
    return True


def _resident(server: Server, field: str) -> int:
    """Bytes, out of `/proc/PID/status`."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)
