# SPDX-License-Identifier: MIT OR Apache-2.0
from django.db import models


class Post(models.Model):
    title = models.CharField(max_length=80)
    text = models.TextField()
