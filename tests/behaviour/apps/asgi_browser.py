# SPDX-License-Identifier: MIT OR Apache-2.0
"""A page that tries WebSockets and server-sent events in a browser, and tells what it has found."""

import asyncio

from gate import Gate

PAGE = b"""<!doctype html><title>tried</title><script>
const found = {};
function opened(path, words, protocols) {
    return new Promise((resolve) => {
        const socket = new WebSocket(location.origin.replace("http", "ws") + path, protocols);
        const heard = [];
        socket.binaryType = "arraybuffer";
        socket.onopen = () => words.forEach((word) => socket.send(word));
        socket.onmessage = ({data}) => {
            heard.push(typeof data === "string" ? data : new Uint8Array(data));
            if (words.length && heard.length === words.length + 1) socket.close(4001, "enough");
        };
        socket.onclose = ({code, reason, wasClean}) =>
            resolve({heard, code, reason, wasClean, protocol: socket.protocol, extensions: socket.extensions});
    });
}
async function sockets() {
    const noise = crypto.getRandomValues(new Uint8Array(60000));
    const words = ["gr\\u00fcn und \\u2603", "again and ".repeat(20000), noise];
    const echo = await opened("/echo", words, ["a", "b"]);
    found.version = echo.heard.shift();
    found.echoes = words.map((word, at) => String(word) === String(echo.heard[at]));
    delete echo.heard;
    found.echo = echo;
    found.last = await opened("/last", []);
    found.refused = await opened("/refused", []);
}
function events() {
    return new Promise((resolve) => {
        const heard = [], source = new EventSource("/events");
        source.onmessage = ({data, lastEventId}) => {
            heard.push(`${lastEventId} ${data}`);
            if (lastEventId === "after 3") {
                source.close();
                found.events = heard;
                resolve();
            }
        };
    });
}
Promise.all([sockets(), events()]).catch((error) => { found.error = String(error); }).then(() =>
    fetch("/told" + location.search, {method: "POST", body: JSON.stringify(found)}));
</script>"""

streams = 0


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    name = scope["path"].strip("/")
    if scope["type"] == "websocket":
        return await SOCKETS[name](scope, receive, send)
    if name == "page":
        return await answer(send, PAGE, "text/html; charset=utf-8")
    if name == "events":
        return await events(scope, receive, send)
    if name == "streams":
        return await answer(send, str(streams).encode(), "text/plain")
    if name == "told":
        told, more = b"", True
        while more:
            message = await receive()
            told, more = told + message["body"], message.get("more_body", False)
        await answer(send, b"thanks", "text/plain")
        gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
        gate.tell(told.decode())
        return gate.close()
    await answer(send, b"hello", "text/plain")


async def answer(send, body, kind):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
    await send({"type": "http.response.body", "body": body})


async def events(scope, receive, send):
    """Three events and an end; who comes again with the number of the last one gets one more, and then silence."""
    global streams
    last = dict(scope["headers"]).get(b"last-event-id", b"").decode()
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not last:
        for number in range(1, 4):
            line = f"retry: 10\nid: {number}\ndata: event\n\n"
            await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
            await asyncio.sleep(0)
        return await send({"type": "http.response.body", "body": b""})
    streams += 1
    try:
        line = f"id: after {last}\ndata: resumed\n\n"
        await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        streams -= 1


async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "b"})
    await send({"type": "websocket.send", "text": scope["http_version"]})
    while (message := await receive())["type"] != "websocket.disconnect":
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


async def last(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "last words"})


async def refused(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})


SOCKETS = {"echo": echo, "last": last, "refused": refused}
