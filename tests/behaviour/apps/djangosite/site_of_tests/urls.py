# SPDX-License-Identifier: MIT OR Apache-2.0
from django.contrib import admin
from django.urls import path
from notes import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", views.index, name="index"),
    path("notes/", views.notes, name="notes"),
    path("stream/", views.stream),
    path("file/", views.file),
    path("download/<str:name>", views.download),
    path("broken/", views.broken),
]
