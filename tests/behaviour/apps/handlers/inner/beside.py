# SPDX-License-Identifier: MIT OR Apache-2.0
"""The other one."""

NAME = "inner"
