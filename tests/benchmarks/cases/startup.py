"""From the start of the process to the first answer, beside what importing torch takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.benchmarks.results import Result
from tests.benchmarks.servers import ENVIRONMENT, NAIVE, SERVER_CORE, SERVICE, Server, alone, settle

ROUNDS = 9


def measure(quick: bool) -> Result:
    result = Result("startup", 'From start to ready, beside `python -c "import torch"`')
    for number in range((3 if quick else ROUNDS) + 1):
        for subject in (SERVICE, NAIVE):
            server = Server(subject)
            server.end()
            if number:  # the first round only warms the page cache
                result.add(subject.name, "ms", server.ready_seconds * 1e3)
        took = _import_torch()
        if number:
            result.add("import torch", "ms", took * 1e3)
    result.compare("lossmeter ÷ import torch", "lossmeter", "import torch", 1.3, "≤")
    result.compare("naive FastAPI ÷ import torch", "naive FastAPI", "import torch")
    return result


def _import_torch() -> float:
    with alone():
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "import torch"],
            env={**os.environ, **ENVIRONMENT},
            check=True,
            start_new_session=True,
            preexec_fn=lambda: settle(SERVER_CORE),
        )
        return time.perf_counter() - begin
