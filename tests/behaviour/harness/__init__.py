# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs real web servers for the behaviour suite and watches what they leave behind."""
