# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's interface, as Gangway has it: handlers of the phases of a request.

Unchanged applications import from here what they always have: `from mod_python import apache, util, Cookie`. The modules are a part of the
Python engine and know its server; outside of one they can be imported, and tests use those that need no server.
"""

__all__ = ["apache"]

#: The version of mod_python whose interface this is.
mp_version = "3.5.0"
