# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is measured beside what: a module for each kind of handler. Each has its scenarios' names, its defaults, and `run`."""
