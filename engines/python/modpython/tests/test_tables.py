# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tables: any case, several values."""

import pytest

from mod_python import apache


def test_names_are_found_in_any_case():
    table = apache.table({"Content-Type": "text/plain"})
    assert table["content-type"] == "text/plain" and "CONTENT-TYPE" in table and table.get("none") is None
    table["CONTENT-type"] = "text/html"
    assert table.items() == [("CONTENT-type", "text/html")]
    del table["content-TYPE"]
    assert not table and len(table) == 0
    with pytest.raises(KeyError):
        table["content-type"]
    with pytest.raises(KeyError):
        del table["content-type"]


def test_a_name_has_several_values():
    table = apache.make_table()
    table.add("Set-Cookie", "a")
    table.add("set-cookie", "b")
    table.add("Other", 5)
    assert table["SET-COOKIE"] == ["a", "b"] and table["other"] == "5"
    assert table.keys() == ["Set-Cookie", "set-cookie", "Other"] and table.values() == ["a", "b", "5"]
    table["Set-Cookie"] = "c"
    assert table.items() == [("Set-Cookie", "c"), ("Other", "5")]


def test_it_is_a_mapping_otherwise():
    table = apache.table([("a", "1")])
    assert table.setdefault("A", "2") == "1" and table.setdefault("b", "2") == "2"
    table.update({"c": "3"}, d=4)
    assert table.pop("c") == "3" and table.pop("c", None) is None
    assert table.popitem() == ("d", "4")
    assert table.copy() == table and repr(table) == "{'a': '1', 'b': '2'}"
    with pytest.raises(TypeError):
        table[1] = "x"
    table.clear()
    assert list(table) == []
