# SPDX-License-Identifier: MIT OR Apache-2.0
"""Django's command line for the site of the tests."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_of_tests.settings")
execute_from_command_line(sys.argv)
