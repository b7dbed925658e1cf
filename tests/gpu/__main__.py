"""Runs the parts one after the other, each with a limit of time, a line of summary and a file of JSON, whatever fails.

Args: `--cpu`, `--quick`, and names of parts (all by default).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gpu.reporting import OPTION, counts

SECONDS = 460.0
"""For all parts together, and for what the script has SPENT before."""
PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-p",
    "xdist.plugin",
    "-p",
    "tests.gpu.reporting",
    "-p",
    "no:cacheprovider",
    "-W",
    "default",
    "--tb=short",
)
BITS = (
    "torchs_bit_for_bit or what_torch_lacks or half_precision or recorded_or_by_autograd or chunks_by_a_program "
    "or same_call_over_http or chunks_give_the_same_bits or both_ways"
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the run.

    Attributes:
        title: what it shows.
        seconds: its limit.
        tests: files of tests; none where `program` measures.
        select: which of the tests.
        processes: of tests, at the same time; such a part has a test for each loss.
    """

    title: str
    seconds: float
    tests: tuple[str, ...] = ()
    select: str = ""
    processes: int = 0
    program: str = ""

    def command(self, report: Path, result: Path, *, quick: bool) -> list[str]:
        """The command, which writes a report of its tests or the result itself."""
        if self.program:
            return [sys.executable, "-m", self.program, str(result), *(["--quick"] if quick else [])]
        selected = f"({self.select}) and (mse or cross_entropy)" if quick and self.processes else self.select
        options = ["-k", selected] if selected else []
        options += ["-n", str(self.processes)] if self.processes and not quick else []
        return [*PYTEST, *self.tests, *options, f"{OPTION}={report}"]


PARTS = {
    "a_bits": Part(
        "values and gradients are those of torch in process, bit for bit, recorded programs included",
        190,
        (
            "tests/losses/test_losses.py",
            "tests/engine/test_compute.py",
            "tests/engine/test_backward.py",
            "tests/engine/test_programs.py",
            "tests/api/test_every_loss.py",
        ),
        BITS,
        8,
    ),
    "b_bad_input": Part(
        "what a kernel would choke on is refused by every way in, and the process lives",
        50,
        ("tests/api/test_bad_labels.py", "tests/api/test_bad_input.py"),
    ),
    "c_memory": Part(
        "chunks, 507 and going on; a poisoned context replaces the worker",
        100,
        ("tests/gpu/test_memory.py", "tests/serving/test_workers.py"),
        "memory or fit or device_failed or lose",
    ),
    "d_workers": Part("two workers on one GPU", 40, ("tests/gpu/test_two_workers.py",)),
    "e_speed": Part("what it costs", 110, program="tests.gpu.benchmark"),
    "f_shared_memory": Part(
        "CUDA shared memory, and tensors of a client on the GPU",
        40,
        ("tests/gpu/test_shared_memory.py", "tests/client/test_torch.py"),
        "shared_memory or on_the_device",
    ),
}


def run(name: str, part: Part, seconds: float, log: Path, out: Path, *, quick: bool) -> dict[str, Any]:
    """Runs one part, and writes what it found."""
    result = out / f"{name}.json"
    result.unlink(missing_ok=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, log.open("ab") as output:
        report = Path(folder, "lines")
        output.write(f"\n===== {name}: {part.title}\n".encode())
        output.flush()
        process = subprocess.Popen(
            part.command(report, result, quick=quick), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        found: dict[str, Any] = {"part": name, "shows": part.title}
        found["status"] = {0: "passed", None: "out of time", 5: "no tests"}.get(status, f"failed ({status})")
        found["seconds"] = round(time.monotonic() - begin, 1)
        if report.exists():
            found |= counts(report.read_text())
            if status == 0 and not found["passed"]:
                found["status"] = "not tried: every test was skipped"
        elif result.exists():
            found |= json.loads(result.read_text())
    result.write_text(json.dumps(found, indent=1) + "\n")
    return found


def machine() -> dict[str, Any]:
    """What this ran on."""
    import numpy as np
    import torch

    device = os.environ["LOSSMETER_DEVICE"]
    found = {"device": device, "torch": torch.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}
    if torch.cuda.is_available():
        one = torch.cuda.get_device_properties(0)
        found |= {"gpu": one.name, "gpu_bytes": one.total_memory, "cuda": torch.version.cuda}
    return found


def main() -> int:
    """Runs the parts; fails if one of them does."""
    deadline = time.monotonic() + SECONDS - float(os.environ.get("SPENT", 0))
    parser = argparse.ArgumentParser(prog="tests/gpu/run.sh")
    parser.add_argument(
        "--cpu", action="store_true", help="on the CPU, which tries this program and shows nothing of a GPU"
    )
    parser.add_argument("--quick", action="store_true", help="few losses, short measurements")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    given = parser.parse_args()
    os.environ["LOSSMETER_DEVICE"] = "cpu" if given.cpu else os.environ.get("LOSSMETER_DEVICE", "cuda")
    out = Path(os.environ.get("OUT", "build/gpu-results"))
    out.mkdir(parents=True, exist_ok=True)
    log, summary = out / "log.txt", out / "summary.txt"
    log.write_bytes(b"")
    on = machine()
    lines = [json.dumps(on)]
    if on["device"] == "cpu":
        lines.append("ON THE CPU: this shows that the script works, and nothing of a GPU")
    print(*lines, sep="\n", flush=True)
    failed = False
    for name in given.parts or PARTS:
        part = PARTS[name]
        found = run(name, part, max(1.0, min(part.seconds, deadline - time.monotonic())), log, out, quick=given.quick)
        numbers = ", ".join(
            f"{found[one]} {one}" for one in ("passed", "failed", "skipped", "unfinished") if one in found
        )
        new = [f"{name}: {found['status']} in {found['seconds']} s; {numbers or part.title}"]
        new += [f"    {one['test']}: {one['message'][:160]}" for one in found.get("failures", [])[:8]]
        new += [f"    {line}" for line in found.get("lines", [])]
        print(*new, sep="\n", flush=True)
        lines += new
        summary.write_text("\n".join(lines) + "\n")
        failed = failed or found["status"] != "passed"
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
