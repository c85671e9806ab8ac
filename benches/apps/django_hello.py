# SPDX-License-Identifier: MIT OR Apache-2.0
"""The smallest Django project, with the middleware that `startproject` turns on and needs no database."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not a secret: this project only says hello",
)


def hello(request):
    return HttpResponse("Hello, World!\n", content_type="text/plain")


urlpatterns = [path("django", hello)]
application = get_wsgi_application()
