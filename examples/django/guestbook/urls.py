# SPDX-License-Identifier: MIT OR Apache-2.0
from django.urls import path
from guestbook import views

urlpatterns = [path("", views.entries, name="entries")]
