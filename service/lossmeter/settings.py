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

    store_url: str = ""
    """Database of runs: `sqlite:///path` or `postgresql://…`; empty for a file among the user's data (SQLite)."""
    store_timeout_seconds: float = Field(default=15.0, gt=0)
    """Seconds that a statement of PostgreSQL may take, or a writer of SQLite waits for another one; then callers get 503."""
    retention_days: int = Field(default=0, ge=0)
    """Days that a run is kept after the last thing that happened to it; 0 for ever."""

    @property
    def torch_threads(self) -> int:
        """Threads of torch for one worker."""
        return self.threads or max(1, cores.usable() // self.workers)
