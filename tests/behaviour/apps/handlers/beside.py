# SPDX-License-Identifier: MIT OR Apache-2.0
"""A module beside a handler. Another directory has another one of this name."""

NAME = "outer"
