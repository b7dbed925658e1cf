"""The settings of a server: one frozen object, read once, from `LOSSMETER_…` variables or from the command line.

The sentence under a field is its help on the command line and its line in the documentation.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lossmeter import cpus, memory

WORKER_BYTES = 400 << 20
"""Memory of a worker that does nothing: torch, above all."""
MAX_REQUEST_BYTES = 4 << 30
"""What one request may take on a large machine, unless the settings say so."""


class Settings(BaseSettings):
    """Each field is the environment variable `LOSSMETER_` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="LOSSMETER_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    uds: str = ""
    """Path of a Unix domain socket to listen on instead of an address and a port."""
    workers: int = Field(default=1, ge=1)
    """Processes that serve; each holds its own copy of torch."""
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"
    """Least severe messages that are logged."""
    log_format: Literal["text", "json"] = "text"
    """Form of messages: `text` for people, `json` for programs, one object a line."""
    access_log: bool = False
    """Log a line for each request."""
    metrics_dir: str = ""
    """Folder in which several workers add up what `/metrics` shows; empty for one that lasts as long as the server."""

    shared_memory: bool = False
    """Let clients of this machine (loopback, a Unix socket) put tensors into shared memory; see the Open Inference Protocol."""
    shared_memory_dir: str = ""
    """Folder in which several workers keep which regions are registered; empty for one that lasts as long as the server."""

    drain_seconds: float = Field(default=0.0, ge=0)
    """After SIGTERM, how long `/readyz` says 503 while requests are still let in, so that load balancers notice."""
    grace_seconds: int = Field(default=30, ge=0)
    """Time that requests in flight may take, once new ones are refused, before they are cut off."""
    hang_seconds: float = Field(default=60.0, ge=0)
    """Time for which the event loop of a worker may stand still before the worker ends, so that it is replaced; 0 for ever."""

    device: str = "auto"
    """Where losses are computed: `auto` takes the best device present, else a torch device such as `cpu` or `cuda:1`."""
    threads: int = Field(default=0, ge=0)
    """Threads that torch uses within one worker; 0 shares the cores evenly among the workers."""
    pool_threads: int = Field(default=2, ge=1)
    """Requests per worker that are computed at the same time, beside the short ones."""
    inline_bytes: int = Field(default=32 * 1024, ge=0)
    """Largest body that is worked on at once; larger ones go to the pool, so that they hold nobody up."""
    chunk_elements: int = Field(default=0, ge=0)
    """Elements above which a separable loss is computed in chunks along the batch; 0 takes what suits the device."""

    max_body_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """Largest body of a request, in bytes, before and after it is expanded."""
    max_elements: int = Field(default=100_000_000, ge=1)
    """Most elements that the tensors of one request may have together."""

    max_request_memory: int = Field(default=0, ge=0)
    """Bytes that one request may take to be computed; beyond it 413; 0 for half of what all may take, 4 GiB at most."""
    max_request_operations: int = Field(default=100_000_000_000, ge=1)
    """Operations on single elements that one request may take; beyond it 413. A core does 10⁸ to 10⁹ of them in a second."""
    max_memory_in_flight: int = Field(default=0, ge=0)
    """Bytes that requests of one worker take together; beyond it 503; 0 for its share of the container or machine."""

    max_bytes_in_flight: int = Field(default=1024 * 1024 * 1024, ge=1)
    """Bytes of bodies that one worker holds at the same time; beyond it new requests get 503."""
    max_elements_in_flight: int = Field(default=400_000_000, ge=1)
    """Elements of tensors that one worker holds at the same time; beyond it new requests get 503."""
    max_wait_seconds: float = Field(default=5.0, gt=0)
    """Time that a request may wait for its turn; beyond it new requests get 503."""

    max_connections: int = Field(default=1000, ge=1)
    """Connections that one worker has at the same time; a new one takes the place of an idle one, or gets 503."""
    max_header_bytes: int = Field(default=32 * 1024, ge=1024)
    """Largest head of a request, the address included; beyond it 431."""
    max_headers: int = Field(default=100, ge=8)
    """Most fields in the head of a request; beyond it 431."""
    header_seconds: float = Field(default=10.0, ge=0.1)
    """Time that the head of a request may take to arrive; beyond it 408."""
    body_seconds: float = Field(default=10.0, ge=0.1)
    """Time for which a body, and the reading of an answer, may be below `LOSSMETER_MIN_BYTES_PER_SECOND`; beyond it 408."""
    min_bytes_per_second: int = Field(default=1000, ge=0)
    """Slowest speed of a client that is waited for."""
    keep_alive_seconds: int = Field(default=75, ge=1)
    """Time for which a connection stays open between requests; more than the load balancer before it."""
    compute_seconds: float = Field(default=300.0, gt=0)
    """Time that a request may wait and be computed; beyond it 504, and what computes it ends at the next piece."""

    tls_certificate: str = ""
    """File of the certificate, and of those between it and the authority (PEM); with it the server speaks HTTPS alone."""
    tls_key: str = ""
    """File of the private key, unless the certificate's file holds it (PEM)."""

    auth: Literal["auto", "off", "required"] = "auto"
    """Clients that need a key: with `required` everybody, with `off` nobody, with `auto` everybody but this machine."""
    key_cache_seconds: float = Field(default=5.0, ge=0, le=60)
    """Time for which a revoked key may still be good in other processes than the one that revoked it."""
    cors_origins: str = ""
    """Origins of web pages that may call from a browser, by commas, such as `https://lab.example.org`; `*` for any."""

    store_url: str = ""
    """Database of runs and keys: `sqlite:///path` or `postgresql://…`; empty for a file among the user's data (SQLite)."""
    store_timeout_seconds: float = Field(default=15.0, gt=0)
    """Seconds that a statement of PostgreSQL may take, or a writer of SQLite waits for another one; then callers get 503."""
    retention_days: int = Field(default=0, ge=0)
    """Days that a run is kept after it was opened, got its last batch or was closed, whichever came last; 0 for ever."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Lists the origins of pages that may call."""
        return tuple(part.strip() for part in self.cors_origins.split(",") if part.strip())

    @property
    def torch_threads(self) -> int:
        """Counts the threads of torch for one worker."""
        return self.threads or max(1, cpus.available() // self.workers)

    @property
    def memory(self) -> int:
        """Counts the bytes that the requests of one worker may take together: three quarters of its share."""
        share = memory.available() // self.workers
        return self.max_memory_in_flight or max(share // 4, 3 * (share - WORKER_BYTES) // 4)

    @property
    def request_memory(self) -> int:
        """Counts the bytes that one request may take."""
        return self.max_request_memory or min(MAX_REQUEST_BYTES, self.memory // 2)


def variable(name: str) -> str:
    """Names the environment variable of a setting."""
    return f"{Settings.model_config['env_prefix']}{name.upper()}"
