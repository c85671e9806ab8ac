# SPDX-License-Identifier: MIT OR Apache-2.0
from django.contrib import admin
from notes.models import Note

admin.site.register(Note)
