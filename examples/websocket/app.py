"""A chat: what one says, all hear. Without a framework, to show the messages."""

PAGE = b"""<!doctype html><title>Chat</title><ul id=said></ul><form><input autofocus></form><script>
const socket = new WebSocket(location.href.replace("http", "ws"));
const input = document.querySelector("input");
socket.onmessage = (event) => said.appendChild(document.createElement("li")).textContent = event.data;
document.forms[0].onsubmit = () => { socket.send(input.value); input.value = ""; return false; };
</script>"""

present = set()


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await chat(receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": PAGE})
    else:
        raise NotImplementedError("no lifespan")


async def chat(receive, send):
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    present.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            for other in list(present):
                try:
                    await other({"type": "websocket.send", "text": message.get("text") or ""})
                except OSError:  # it has left
                    present.discard(other)
    finally:
        present.discard(send)
