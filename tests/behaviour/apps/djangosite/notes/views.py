# SPDX-License-Identifier: MIT OR Apache-2.0
from django import forms
from django.conf import settings
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from notes.models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["title", "attachment"]


def index(request):
    return HttpResponse(f"{request.get_full_path()} of {request.META['SCRIPT_NAME']} for {request.user}")


def notes(request):
    if request.method == "POST":
        form = NoteForm(request.POST, request.FILES)
        if not form.is_valid():
            return HttpResponse(form.errors.as_json(), status=422)
        form.save()
        return redirect("notes")
    return HttpResponse(get_token(request) + "\n" + "\n".join(note.title for note in Note.objects.order_by("id")))


def stream(request):
    return StreamingHttpResponse((f"line {number}\n" for number in range(1000)), content_type="text/plain")


def file(request):
    return FileResponse(open(settings.DATA / "served.bin", "rb"))


def download(request, name):
    return FileResponse(open(settings.MEDIA_ROOT / "attachments" / name, "rb"), as_attachment=True)


def broken(request):
    raise RuntimeError("in a Django view")
