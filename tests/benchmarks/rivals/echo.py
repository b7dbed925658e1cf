"""Raw ASGI that sends back the bytes that it receives: what the transport alone costs."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    message = await receive()
    body = message["body"]
    if message["more_body"]:
        whole = bytearray(body)
        while message["more_body"]:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            whole += message["body"]
        body = whole
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
