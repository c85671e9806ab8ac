# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Django site of one file, as an ASGI application with views of both kinds."""

import asyncio
import threading

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["*"],
    FILE_UPLOAD_MAX_MEMORY_SIZE=1000,
)


async def index(request):
    await asyncio.sleep(0)
    return JsonResponse({"version": django.VERSION[:1], "path": request.path, "one": request.headers.get("X-One")})


def blocking(request):
    return HttpResponse(f"on the loop: {threading.current_thread().name == 'gw-loop'}")


@csrf_exempt
async def upload(request):
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "length": file.size, "text": request.POST["text"]})


async def stream(request):
    async def lines():
        for number in range(20):
            yield f"{number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [path("", index), path("blocking", blocking), path("upload", upload), path("stream", stream)]
app = get_asgi_application()
