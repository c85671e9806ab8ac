# SPDX-License-Identifier: MIT OR Apache-2.0
"""`make bench`: Gangway beside its peers in one run. See benches/README.md."""
