# SPDX-License-Identifier: MIT OR Apache-2.0
from django.db import models


class Entry(models.Model):
    text = models.CharField(max_length=200)
    written = models.DateTimeField(auto_now_add=True)
