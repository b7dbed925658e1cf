"""Bodies that become larger, deeper or longer than they look."""

from __future__ import annotations

import gzip
import json
import struct
import sys
import zlib
from base64 import b64encode
from functools import cache

from tests.programs.attacks.target import Target

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LOSS = "/v1/losses/mse"
EVALUATE = "/v1/evaluate"
ZEROS = bytes(1 << 26)
COPIES = 16
"""Of 64 MB each."""


def coded(target: Target, body: bytes, *codings: str) -> str:
    return target.post(LOSS, body, "Content-Encoding: " + ", ".join(codings))


@cache
def gzipped_zeros() -> bytes:
    return gzip.compress(ZEROS, 9) * COPIES


def gzip_bomb(target: Target) -> str:
    return coded(target, gzipped_zeros(), "gzip")


def deflate_bomb(target: Target) -> str:
    stream = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    copy = stream.compress(ZEROS) + stream.flush(zlib.Z_FULL_FLUSH)  # which refers to nothing before it
    checksum = COPIES * len(ZEROS) % 65521 << 16 | 1  # Adler-32 of so many zeros
    return coded(target, b"\x78\xda" + copy * COPIES + stream.flush() + checksum.to_bytes(4), "deflate")


def zstd_bomb(target: Target) -> str:
    return coded(target, zstd.compress(ZEROS, 19) * COPIES, "zstd")


def bomb_in_a_bomb(target: Target) -> str:
    return coded(target, zstd.compress(gzip.compress(gzipped_zeros(), 9)), "gzip", "gzip", "zstd")


def many_codings(target: Target) -> str:
    return coded(target, b"x", *["gzip"] * 50)


def wide_window(target: Target) -> str:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    frame = zstd.ZstdCompressor(options=options)
    return coded(target, frame.compress(ZEROS[: 1 << 20]) + frame.flush(), "zstd")


def many_members(target: Target) -> str:
    return coded(target, gzip.compress(b"") * 200_000, "gzip")


def deep_arrays(target: Target) -> str:
    return target.post(LOSS, b'{"predictions": ' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}")


def deep_objects(target: Target) -> str:
    return target.post(EVALUATE, b'{"slices": ' * 1_000_000 + b"0" + b"}" * 1_000_000)


def many_members_of_an_object(target: Target) -> str:
    return target.post(LOSS, b"{" + b",".join(b'"%d":0' % number for number in range(2_000_000)) + b"}")


def long_number(target: Target) -> str:
    return target.post(LOSS, b'{"labels": [0], "predictions": [' + b"9" * 10_000_000 + b"]}")


def long_string(target: Target) -> str:
    return target.post("/v1/runs", b'{"name": "' + b"x" * 100_000_000 + b'"}')


def shape_without_end(target: Target) -> str:
    tensor = {"datatype": "FP64", "shape": [2**31, 2**31], "base64": ""}
    return target.post(LOSS, json.dumps({"predictions": tensor, "labels": tensor}).encode())


def file(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def safetensors(target: Target, body: bytes) -> str:
    return target.post(LOSS, body, "Content-Type: application/vnd.safetensors")


def header_without_end(target: Target) -> str:
    return safetensors(target, file(b"{}", 2**63 - 1))


def overlapping_tensors(target: Target) -> str:
    entry = {"dtype": "F32", "shape": [250_000], "data_offsets": [0, 1_000_000]}
    header = json.dumps({f"t{number}": entry for number in range(1000)}).encode()
    return safetensors(target, file(header, data=bytes(1_000_000)))


def tensor_beyond_the_file(target: Target) -> str:
    header = json.dumps({"predictions": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}).encode()
    return safetensors(target, file(header))


def bytes_that_are_not_there(target: Target) -> str:
    inputs = [
        {"name": "predictions", "datatype": "FP32", "shape": [10**9], "parameters": {"binary_data_size": 4 * 10**9}}
    ]
    text = json.dumps({"inputs": inputs}).encode()
    return target.post("/v2/models/mse/infer", text, f"Inference-Header-Content-Length: {len(text)}")


def product_of_small_tensors(target: Target) -> str:
    """200,000 samples by 200,000 classes, out of tensors of one column: 160 GB of logits, were they all held."""
    column = {"datatype": "FP16", "shape": [200_000, 1], "base64": b64encode(bytes(400_000)).decode()}
    labels = {"datatype": "INT64", "shape": [200_000], "base64": b64encode(bytes(1_600_000)).decode()}
    body = {"features": column, "classifier": column, "labels": labels}
    return target.post("/v1/losses/linear_cross_entropy", json.dumps(body).encode())


def classes_without_end(target: Target) -> str:
    body = {
        "task": "multiclass",
        "predictions_are": "classes",
        "predictions": [0, 1],
        "labels": [0, 1],
        "classes": 10**9,
        "metrics": [{"metric": "confusion_matrix"}],
    }
    return target.post(EVALUATE, json.dumps(body).encode())


def replicates_without_end(target: Target) -> str:
    body = {
        "task": "regression",
        "predictions_are": "values",
        "predictions": [0.0] * 1000,
        "labels": [1.0] * 1000,
        "replicates": 10**12,
    }
    return target.post(EVALUATE, json.dumps(body).encode())


def slices_without_end(target: Target) -> str:
    count = 20_000
    body = {
        "task": "regression",
        "predictions_are": "values",
        "predictions": [0.0] * count,
        "labels": [1.0] * count,
        "slices": {f"c{column}": [str(number) for number in range(count)] for column in range(20)},
    }
    return target.post(EVALUATE, json.dumps(body).encode())
