"""All attacks, what is expected of each, and how they are run."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from tests.programs.attacks import addresses, bodies, connections, edges
from tests.programs.attacks.target import SETTINGS, SecondClient, Target
from tests.support.certificates import certificate_in
from tests.support.processes import started, wait_until


@dataclass(frozen=True)
class Attack:
    """An attack.

    Attributes:
        name: in words.
        run: does it, and says what came of it.
        expected: what has to come of it.
        megabytes: by which the memory of the server may grow meanwhile.
    """

    name: str
    run: Callable[[Target], str]
    expected: str
    megabytes: float = 60


@dataclass(frozen=True)
class Outcome:
    """What came of an attack, and what it cost the server."""

    attack: Attack
    said: str
    megabytes: float
    works: bool
    sent: int
    processor_seconds: float
    meanwhile: str


BOMB = 330
"""The limit on a body, 256 MiB, and what a list grows by before it is noticed."""

ATTACKS = (
    Attack("gzip bomb: 1 MB that becomes 1 GB", bodies.gzip_bomb, "413 too_large", BOMB),
    Attack("deflate bomb", bodies.deflate_bomb, "413 too_large", BOMB),
    Attack("zstd bomb: 100 kB that become 1 GB", bodies.zstd_bomb, "413 too_large", BOMB),
    Attack("a gzip bomb in gzip in zstd", bodies.bomb_in_a_bomb, "413 too_large", BOMB),
    Attack("fifty codings, one after the other", bodies.many_codings, "415 unsupported_format"),
    Attack("zstd with a window of 128 MB", bodies.wide_window, "400 malformed_body"),
    Attack("200,000 empty gzip files in one", bodies.many_members, "400 malformed_body"),
    Attack("JSON, 5 million arrays deep", bodies.deep_arrays, "422 invalid", 150),
    Attack("JSON, a million objects deep", bodies.deep_objects, "422 invalid", 150),
    Attack("JSON with 2 million members", bodies.many_members_of_an_object, "413 too_large", 250),
    Attack("a number of 10 million digits", bodies.long_number, "422 invalid", 150),
    Attack("a name of 100 MB", bodies.long_string, "413 too_large", 500),
    Attack("a tensor of shape [2³¹, 2³¹] without data", bodies.shape_without_end, "422 invalid"),
    Attack("safetensors: a header of 2⁶³ bytes", bodies.header_without_end, "400 malformed_body"),
    Attack("safetensors: a thousand tensors over the same bytes", bodies.overlapping_tensors, "400 malformed_body"),
    Attack("safetensors: a tensor of 8 TB in an empty file", bodies.tensor_beyond_the_file, "400 malformed_body"),
    Attack("Open Inference: 4 GB that are not there", bodies.bytes_that_are_not_there, "400"),
    Attack("2 MB of tensors whose product has 160 GB", bodies.product_of_small_tensors, "413 too_large", 100),
    Attack("a confusion matrix of a billion classes", bodies.classes_without_end, "422 invalid"),
    Attack("a bootstrap of 10¹² replicates", bodies.replicates_without_end, "422 invalid"),
    Attack("400,000 slices of 20,000 samples", bodies.slices_without_end, "422 invalid", 300),
    Attack("a Content-Length of a terabyte", connections.length_that_is_a_lie, "413 too_large"),
    Attack("six bodies of 200 MB that do not come", connections.lengths_that_hold_room, "408 too_slow"),
    Attack("200 heads that arrive line by line", connections.slow_heads, "408 too_slow"),
    Attack("100 bodies that do not arrive", connections.slow_bodies, "408 too_slow"),
    Attack("4 clients that do not read their answers", connections.readers_that_do_not_read, "cut", 350),
    Attack("1,100 connections that say nothing", connections.silent_connections, "200 beyond the limit, then 200"),
    Attack("100,000 header fields", connections.flood_of_headers, "431 header_too_large"),
    Attack("a header of 100 MB", connections.header_without_end, "431 header_too_large"),
    Attack("a chunk extension of 100 MB", connections.extensions_of_chunks, "400 malformed_body"),
    Attack("a million trailers", connections.trailers_without_end, "400 malformed_body"),
    Attack("a body of 2 million chunks", connections.chunks_of_one_byte, "200"),
    Attack("pipelined requests whose answers are not read", connections.pipeline_without_reading, "closed"),
    Attack(
        f"{len(connections.AMBIGUOUS)} heads and bodies that can be read in two ways",
        connections.smuggling,
        "13 × 400 malformed_request, 4 × 400 malformed_body",
    ),
    Attack(f"{len(addresses.PATHS)} paths that lead out, or hold what no path holds", addresses.paths, "404 not_found"),
    Attack("line breaks and escapes in paths and headers, for the log", addresses.log_injection, "no line"),
    Attack("four bodies of 256 MiB, announced, at 1,100 bytes a second", edges.announced_bodies, "4 × nothing", 20),
    Attack("slow bodies on every connection that there may be", edges.slow_bodies_everywhere, "200", 60),
    Attack("slow heads on every connection that there may be", edges.slow_heads_everywhere, "200", 60),
    Attack("2,000 connections, opened and closed", edges.flood_of_connections, "200"),
    Attack("1,000 requests that do not wait for answers", edges.pipeline, "429 after 101 answers"),
    Attack("a client that sends no more after its request", edges.half_closed, "200"),
    Attack("half a request, and then no more", edges.half_a_request, "closed"),
    Attack("32 reports of a run at once", edges.reports_at_once, "200", 150),
    Attack("the same batch 100 times", edges.repeated_batch, "200"),
    Attack(
        "a CSV file of a million rows, in 300 bytes", partial(edges.sent_body, *edges.MANY_ROWS), "413 too_large", 150
    ),
    *(Attack(name, partial(edges.sent_raw, pieces), expected) for name, pieces, expected in edges.RAW),
    *(Attack(name, partial(edges.sent_body, *request), expected, 60) for name, request, expected in edges.BODIES),
)
TLS_SILENCE = Attack("TLS: 1,100 connections that never begin the handshake", edges.tls_silence, "closed or served")
"""Needs a server that speaks TLS."""
GUESSING = Attack("guessed keys, for five seconds", addresses.key_guessing, "401")
"""Needs a server that asks for keys."""


@contextmanager
def target(*, forked: bool = False, **environment: str) -> Iterator[Target]:
    """A server to attack."""
    with started(forked=forked, **SETTINGS, **environment) as service:
        found = Target(service)
        for _ in range(3):
            assert found.works() or "LOSSMETER_AUTH" in environment
        yield found


@contextmanager
def target_with_tls() -> Iterator[tuple[Target, ssl.SSLContext]]:
    """A server that speaks TLS, and the context of a client that trusts it."""
    with TemporaryDirectory() as folder:
        certificate = certificate_in(Path(folder))
        context = ssl.create_default_context(cafile=str(certificate))
        files = {
            "LOSSMETER_TLS_CERTIFICATE": str(certificate),
            "LOSSMETER_TLS_KEY": str(certificate.with_name("key.pem")),
        }
        with started(wait=False, **{**SETTINGS, "LOSSMETER_HEADER_SECONDS": "5"}, **files) as service:
            found = Target(service)
            wait_until(lambda: SecondClient(found, context).answered(), "ready", 180)
            yield found, context


def tried(attack: Attack, on: Target, *, context: ssl.SSLContext | None = None, watched: bool = False) -> Outcome:
    """What comes of an attack, and if it is watched, what a second client gets meanwhile, which takes processor time too.

    Args:
        context: of TLS, for the second client.
    """
    sleep(0.2)
    before, used = on.memory(), on.processor()
    on.forget()
    on.sent = 0
    client = SecondClient(on, context)
    with client if watched else nullcontext():
        said = attack.run(on)
    growth, took, sent = max(0.0, on.memory("VmHWM") - before), on.processor() - used, on.sent
    works = attack is GUESSING or (client.answered() if context else on.works())
    return Outcome(attack, said, growth, works, sent, took, client.said if watched else "–")
