# SPDX-License-Identifier: MIT OR Apache-2.0
from django.shortcuts import redirect, render
from guestbook.models import Entry


def entries(request):
    if request.method == "POST":
        if text := request.POST.get("text", "").strip():
            Entry.objects.create(text=text[:200])
        return redirect("entries")
    return render(request, "entries.html", {"entries": Entry.objects.order_by("-id")[:50]})
