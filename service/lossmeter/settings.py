"""The settings of a server: one frozen object, read once, from `LOSSMETER_…` variables or from the command line."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lossmeter import cores


class Settings(BaseSettings):
    """Each field is the environment variable `LOSSMETER_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="LOSSMETER_", frozen=True, extra="forbid")

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
    """How they are written: `text` for people, `json` for programs, one object a line."""
    access_log: bool = False
    """Log a line for each request."""
    metrics_dir: str = ""
    """Folder in which several workers add up what `/metrics` shows; empty for one that lasts as long as the server."""

    drain_seconds: float = Field(default=0.0, ge=0)
    """After SIGTERM, how long `/readyz` says 503 while requests are still let in, so that load balancers notice."""
    grace_seconds: int = Field(default=30, ge=0)
    """After that, how long requests in flight may take before they are cut off."""
    hang_seconds: float = Field(default=60.0, ge=0)
    """A worker whose event loop stands still for that long ends, so that it is replaced; 0 never does."""

    device: str = "auto"
    """Where losses are computed: `auto` takes the best device present, else a torch device such as `cpu` or `cuda:1`."""
    threads: int = Field(default=0, ge=0)
    """Threads that torch uses within one worker; 0 shares the cores evenly among the workers."""
    pool_threads: int = Field(default=2, ge=1)
    """Requests per worker that are computed at the same time, beside the short ones."""
    inline_bytes: int = Field(default=32 * 1024, ge=0)
    """Bodies up to this size are worked on at once; larger ones in the pool, so that they hold nobody up."""
    chunk_elements: int = Field(default=0, ge=0)
    """Elements above which a separable loss is computed in chunks along the batch; 0 takes what suits the device."""

    max_body_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """Largest body that is read."""
    max_elements: int = Field(default=100_000_000, ge=1)
    """Most elements that the tensors of one request may have together."""

    max_bytes_in_flight: int = Field(default=1024 * 1024 * 1024, ge=1)
    """Bytes of bodies that one worker holds at the same time; beyond it new requests get 503."""
    max_elements_in_flight: int = Field(default=400_000_000, ge=1)
    """Elements of tensors that one worker holds at the same time; beyond it new requests get 503."""
    max_wait_seconds: float = Field(default=5.0, gt=0)
    """New requests get 503 while those before them are taken up later than they should by this."""

    max_connections: int = Field(default=1000, ge=1)
    """Connections that one worker has at the same time; a new one takes the place of an idle one, or gets 503."""
    max_header_bytes: int = Field(default=32 * 1024, ge=1024)
    """Largest head of a request, the address included; beyond it 431."""
    max_headers: int = Field(default=100, ge=8)
    """Most fields in the head of a request; beyond it 431."""
    header_seconds: float = Field(default=10.0, ge=0.1)
    """How long the head of a request may take to arrive; beyond it 408."""
    body_seconds: float = Field(default=10.0, ge=0.1)
    """How long a body, and the reading of an answer, may be slower than `LOSSMETER_MIN_BYTES_PER_SECOND`; beyond it 408."""
    min_bytes_per_second: int = Field(default=1000, ge=0)
    """Slowest client that is waited for."""
    keep_alive_seconds: int = Field(default=75, ge=1)
    """How long a connection stays open between requests; more than the load balancer before it."""
    compute_seconds: float = Field(default=300.0, gt=0)
    """How long a request may wait and be computed; beyond it 504, while the thread that computes it goes on to the end."""

    tls_certificate: str = ""
    """File of the certificate, and of those between it and the authority (PEM); with it the server speaks HTTPS alone."""
    tls_key: str = ""
    """File of its private key, unless the certificate's file holds it."""

    auth: Literal["auto", "off", "required"] = "auto"
    """Who is answered: `required` is whoever has a key, `off` anybody, `auto` anybody on this machine (loopback, a Unix socket)
    and elsewhere whoever has a key."""
    key_cache_seconds: float = Field(default=5.0, ge=0, le=60)
    """How long a revoked key may still be good in other processes than the one that revoked it."""
    cors_origins: str = ""
    """Origins of web pages that may call from a browser, by commas, such as `https://lab.example.org`; `*` for any."""

    store_url: str = ""
    """Database of runs and keys: `sqlite:///path` or `postgresql://…`; empty for a file among the user's data (SQLite)."""
    store_timeout_seconds: float = Field(default=15.0, gt=0)
    """Seconds that a statement of PostgreSQL may take, or a writer of SQLite waits for another one; then callers get 503."""
    retention_days: int = Field(default=0, ge=0)
    """Days that a run is kept after the last thing that happened to it; 0 for ever."""

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of pages that may call."""
        return tuple(part.strip() for part in self.cors_origins.split(",") if part.strip())

    @property
    def torch_threads(self) -> int:
        """Threads of torch for one worker."""
        return self.threads or max(1, cores.usable() // self.workers)
