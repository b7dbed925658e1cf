"""The server speaks HTTPS by itself, if it is given a certificate."""

from __future__ import annotations

import socket
import ssl
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lossmeter.cli import program
from lossmeter.client import Client
from lossmeter.client.clients import Options
from lossmeter.client.errors import Busy, NoAnswer
from lossmeter.client.exchanges import Retries
from tests.support.certificates import certificate_in
from tests.support.processes import started, wait_until
from tests.support.service import serving

MSE = {"predictions": [1.0], "labels": [0.0]}
ONCE: Options = {"retries": Retries(attempts=1)}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_in(tmp_path_factory.mktemp("tls"))


def test_the_client_trusts_the_certificate_that_it_is_given_and_no_other(certificate: Path) -> None:
    given = {"tls_certificate": str(certificate), "tls_key": str(certificate.with_name("key.pem"))}
    trusted = ssl.create_default_context(cafile=str(certificate))
    with serving(**given) as url:
        assert url.startswith("https://")
        with Client(url, verify=trusted, **ONCE) as client:
            assert client.loss("mse", **MSE).value == 1.0
            for _ in range(2):  # more than is read by the parser
                assert client.loss("mae", predictions=np.full(1 << 18, 2.5), labels=np.ones(1 << 18)).value == 1.5
        with Client(url, **ONCE) as client, pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
            client.health()
        with Client(url.replace("https", "http"), **ONCE) as client, pytest.raises(NoAnswer):
            client.health()


def test_old_versions_of_tls_are_refused(certificate: Path) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is what is tried here
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    given = {"tls_certificate": str(certificate), "tls_key": str(certificate.with_name("key.pem"))}
    with serving(**given) as url:
        host, port = url.removeprefix("https://").split(":")
        with (
            socket.create_connection((host, int(port))) as connection,
            pytest.raises((ssl.SSLError, OSError)),
        ):
            old.wrap_socket(connection)


def is_ready(client: Client) -> bool:
    try:
        client.health()
    except (Busy, NoAnswer):
        return False
    return True


def test_several_workers_speak_it_too(certificate: Path) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate))
    key = str(certificate.with_name("key.pem"))
    arguments = ("--workers", "2", "--tls-certificate", str(certificate), "--tls-key", key)
    with started(*arguments, wait=False) as service:
        url = service.url.replace("http", "https")
        with Client(url, verify=trusted, **ONCE) as client:
            wait_until(lambda: is_ready(client), "ready", 180)
            assert client.loss("mse", **MSE).value == 1.0
        assert url in service.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tls-certificate", "/nowhere.pem"), "cannot be read"),
        (("--tls-key", "/nowhere.pem"), "without a certificate"),
    ],
)
def test_what_cannot_be_read_is_said_before_the_server_starts(arguments: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(program, ["serve", *arguments])
    assert result.exit_code == 2
    assert told in " ".join(result.output.replace("│", "").split())


def test_connections_without_a_handshake_count_and_have_their_time(certificate: Path) -> None:
    given = {"tls_certificate": str(certificate), "tls_key": str(certificate.with_name("key.pem"))}
    trusted = ssl.create_default_context(cafile=str(certificate))
    with serving(**given, max_connections=3, header_seconds=3.0) as url, ExitStack() as stack:
        host, port = url.removeprefix("https://").split(":")
        silent = [stack.enter_context(socket.create_connection((host, int(port)), 20)) for _ in range(3)]
        with socket.create_connection((host, int(port)), 20) as surplus:
            assert _ended(surplus)
        assert all(_ended(connection) for connection in silent)
        with Client(url, verify=trusted, **ONCE) as client:
            assert client.loss("mse", **MSE).value == 1.0


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_what_comes_with_the_end_of_a_handshake_is_read(certificate: Path) -> None:
    given = {"tls_certificate": str(certificate), "tls_key": str(certificate.with_name("key.pem"))}
    context = ssl.create_default_context(cafile=str(certificate))
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with serving(**given) as url:
        host, port = url.removeprefix("https://").split(":")
        for _ in range(5):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
            with socket.create_connection((host, int(port)), 20) as connection:
                answer, asked = b"", False
                while not answer.endswith(b"}"):
                    with suppress(ssl.SSLWantReadError):
                        tls.do_handshake()
                        if not asked:
                            tls.write(request)  # goes out with the last message of the handshake
                            asked = True
                        while not answer.endswith(b"}"):
                            answer += tls.read()
                    connection.sendall(outgoing.read())
                    if not answer.endswith(b"}"):
                        piece = connection.recv(1 << 16)
                        assert piece
                        incoming.write(piece)
            assert answer.startswith(b"HTTP/1.1 200")
