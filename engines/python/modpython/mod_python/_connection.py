# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of connections: what they get, which reads and writes bytes of a protocol that is theirs alone."""

from mod_python._server_facts import Connection


class Conversation(Connection):
    """A connection of which nothing has been read."""

    def _bytes(self):
        return self._transaction
