# SPDX-License-Identifier: MIT OR Apache-2.0
"""Cannot be imported."""
import a_module_that_is_not_there

app = a_module_that_is_not_there.app
