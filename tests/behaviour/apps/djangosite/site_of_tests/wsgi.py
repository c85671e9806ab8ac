# SPDX-License-Identifier: MIT OR Apache-2.0
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_of_tests.settings")
application = get_wsgi_application()
