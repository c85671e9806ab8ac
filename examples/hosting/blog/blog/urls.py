# SPDX-License-Identifier: MIT OR Apache-2.0
from django.urls import path

from . import views

urlpatterns = [
    path("", views.posts, name="posts"),
    path("<int:number>/", views.post, name="post"),
]
