# SPDX-License-Identifier: MIT OR Apache-2.0
from django.db import models


class Note(models.Model):
    title = models.CharField(max_length=50)
    attachment = models.FileField(upload_to="attachments", blank=True)

    def __str__(self):
        return self.title
