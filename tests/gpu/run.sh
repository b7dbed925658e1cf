#!/usr/bin/env bash
# Shows on a machine with an NVIDIA GPU whether the service works there, in under eight minutes; docs/gpu.md says how to read it.
#
#   tests/gpu/run.sh             on the GPU
#   tests/gpu/run.sh --cpu       the same on the CPU, which shows that the script works and nothing else
#   tests/gpu/run.sh --quick     few losses and short measurements; tests/gpu/__main__.py has the other options
#
# Needs a Python with torch, numpy and scipy (PYTHON), the wheels of `make gpu-bundle` (BUNDLE), and no network. Results go to OUT.
set -uo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
BUNDLE=$(realpath "${BUNDLE:-build/gpu-bundle}")
export OUT=${OUT:-build/gpu-results}
mkdir -p "$OUT"

environment=$(mktemp -d)/environment
trap 'rm -rf "$(dirname "$environment")"' EXIT
{
  "$PYTHON" -m venv --system-site-packages --without-pip "$environment" &&
    # The Python that has torch may be that of an environment itself, which --system-site-packages leaves out.
    "$PYTHON" -c "import torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])" \
      > "$(echo "$environment"/lib/python3*/site-packages)/torch.pth" &&
    "$PYTHON" -m pip --python "$environment/bin/python" install --quiet --no-index --find-links "$BUNDLE" --no-deps \
      --no-compile --ignore-installed --requirement "$BUNDLE/requirements.txt"
} || { echo "no environment could be made of $BUNDLE"; exit 1; }

# Plugins of pytest that the machine happens to have take no part.
export PYTHONPATH=service:. PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
SPENT=$SECONDS "$environment/bin/python" -m tests.gpu "$@"
