"""Which kinds of calls have a program: recorded in the background, after a kind has been asked for often enough."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from time import sleep, thread_time

from lossmeter.engine.programs.program import Program
from lossmeter.engine.programs.recording import Unrecordable
from lossmeter.engine.programs.verification import Subject, derive
from lossmeter.engine.threads import Threads

log = logging.getLogger(__name__)

KINDS = 512
WAITING = 64
RECORD_AFTER = 8
REST = 4
"""After each step, recording rests for so many times as long: it never takes more than a fifth of a core from requests."""


class Kind:
    """All calls that one program answers.

    Attributes:
        program: once it is recorded and verified.
        refusal: why there is none, if there cannot be one.
    """

    __slots__ = ("_owner", "program", "refusal", "subject", "uses")

    def __init__(self, subject: Subject, owner: Programs) -> None:
        self.subject = subject
        self._owner = owner
        self.program: Program | None = None
        self.refusal: str | None = None
        self.uses = 0

    def count_use(self) -> None:
        """Notes that a call of this kind was computed without a program; after some of them, one is recorded."""
        uses = self.uses = self.uses + 1
        if uses == self._owner.record_after:
            self._owner.request(self)


class Programs:
    """Programs of one device, at most `KINDS` of them; those that were wanted first go first.

    One thread records them, and does what else can wait; it lives only while there is something to do.
    """

    def __init__(self, record_after: int = RECORD_AFTER) -> None:
        self.record_after = record_after
        self._kinds: dict[Hashable, Kind] = {}
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._kinds)

    def kind(self, key: Hashable, subject: Subject) -> Kind:
        """Returns the kind of that key; `subject` says what a program for it has to do."""
        with self._lock:
            kind = self._kinds.get(key)
            if kind is None:
                kind = self._kinds[key] = Kind(subject, self)
                while len(self._kinds) > KINDS:
                    del self._kinds[next(iter(self._kinds))]
            return kind

    def request(self, kind: Kind) -> None:
        """Has a program recorded in the background; what finds the queue full may ask again later."""
        if not self.run_later(lambda: self._record(kind, _Pace())):
            kind.uses = 0

    def run_later(self, function: Callable[[], None]) -> bool:
        """Calls a function in the background; returns False if too much waits already."""
        with self._lock:
            if len(self._waiting) >= WAITING:
                return False
            self._waiting.append(function)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="lossmeter-programs")
                self._thread.start()
        return True

    def record(self, kind: Kind) -> None:
        """Records the program of a kind now, in this thread."""
        self._record(kind, lambda: None)

    def join(self) -> None:
        """Waits until everything that was requested is done."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                # No process waits for programs that nobody will use any more.
                if not self._waiting or not threading.main_thread().is_alive():
                    self._waiting.clear()
                    self._thread = None
                    return
                function = self._waiting.popleft()
            try:
                function()
            except Exception:  # requests are answered without it
                log.warning("work in the background failed", exc_info=True)
            del function

    def _record(self, kind: Kind, pause: Callable[[], None]) -> None:
        if kind.program is not None or kind.refusal is not None:
            return
        try:
            with Threads(1):
                kind.program = derive(kind.subject, pause)
        except Unrecordable as error:
            kind.refusal = str(error)
        except Exception as error:  # autograd goes on answering, whatever the reason
            kind.refusal = repr(error)
            log.warning("no program could be recorded", exc_info=True)


class _Pace:
    """Rests in proportion to what was worked since the last rest."""

    def __init__(self) -> None:
        self._begin = thread_time()

    def __call__(self) -> None:
        if threading.main_thread().is_alive():
            sleep(REST * (thread_time() - self._begin))
        self._begin = thread_time()
