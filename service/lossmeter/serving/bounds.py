"""Bounds what a client may take up."""

from __future__ import annotations

import resource
from typing import NamedTuple

from lossmeter.settings import Settings

CHECK_SECONDS = 1.0
SPARE_FILES = 64
"""Files that a process may have open beside its connections."""


class Bounds(NamedTuple):
    """Limits on connections; as in the settings of the same names."""

    max_connections: int
    max_header_bytes: int
    max_headers: int
    header_seconds: float
    body_seconds: float
    min_bytes_per_second: int
    keep_alive_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """Reads the settings, but allows no more connections than files may be open."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = settings.max_connections if files == resource.RLIM_INFINITY else max(16, files - SPARE_FILES)
        values = {name: getattr(settings, name) for name in cls._fields}
        return cls(**{**values, "max_connections": min(settings.max_connections, room)})

    @property
    def check_seconds(self) -> float:
        """Time between two checks of a connection."""
        return min(CHECK_SECONDS, self.header_seconds / 4, self.body_seconds / 4, self.keep_alive_seconds / 4)
