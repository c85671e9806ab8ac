# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a configuration test says."""

import re


def one_line(result, directive, *parts):
    """The test failed, and one line has the directive and all of `parts`."""
    assert result.status != 0, result.output
    lines = [line for line in result.output.splitlines() if re.search(r"GW\d{4}", line)]
    assert len(lines) == 1, f"not one line with a code:\n{result.output}"
    for part in (directive, *parts):
        assert part in lines[0], f"{part!r} is not in: {lines[0]}"
    return lines[0]
