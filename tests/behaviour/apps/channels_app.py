# SPDX-License-Identifier: MIT OR Apache-2.0
"""Django with Channels: consumers, a group, and views beside them."""

import django
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "closed":
            await self.close(code=4403)
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive_json(self, content):
        await self.channel_layer.group_send(self.room, {"type": "chat.said", "words": content["words"]})

    async def chat_said(self, event):
        await self.send_json({"said": event["words"]})


class Blocking(WebsocketConsumer):
    """One that runs on threads."""

    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data.upper())


class Events(AsyncHttpConsumer):
    async def handle(self, body):
        await self.send_headers(headers=[(b"Content-Type", b"text/event-stream")])
        for number in range(3):
            await self.send_body(b"data: %d\n\n" % number, more_body=True)
        await self.send_body(b"")


def index(request):
    return HttpResponse("a view")


urlpatterns = [path("", index)]
views = get_asgi_application()
app = ProtocolTypeRouter(
    {
        "http": URLRouter([path("events", Events.as_asgi()), path("", views)]),
        "websocket": URLRouter([path("chat/<str:room>", Chat.as_asgi()), path("blocking", Blocking.as_asgi())]),
    }
)
