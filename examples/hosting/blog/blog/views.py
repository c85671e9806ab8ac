# SPDX-License-Identifier: MIT OR Apache-2.0
import os

from django.forms import modelform_factory
from django.shortcuts import get_object_or_404, redirect, render

from .models import Post

PostForm = modelform_factory(Post, fields=["title", "text"])


def posts(request):
    form = PostForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return redirect("post", number=form.save().pk)
    found = {"form": form, "posts": Post.objects.order_by("-pk"), "process": os.getpid(), "user": os.geteuid()}
    return render(request, "posts.html", found)


def post(request, number):
    return render(request, "post.html", {"post": get_object_or_404(Post, pk=number)})
