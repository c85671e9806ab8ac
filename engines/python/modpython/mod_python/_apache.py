# SPDX-License-Identifier: MIT OR Apache-2.0
"""The name of mod_python's C module, which programs import for its locks: `import _apache`."""

from mod_python.apache import (  # noqa: F401 (a part of the interface)
    SERVER_RETURN,
    _global_lock,
    _global_trylock,
    _global_unlock,
    config_tree,
    exists_config_define,
    log_error,
    mpm_query,
    parse_qs,
    parse_qsl,
    register_cleanup,
    server_root,
    stat,
    table,
)
