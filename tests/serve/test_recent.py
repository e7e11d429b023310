"""What is known of pictures is that of the version that is asked for, or nothing."""

from __future__ import annotations

from bier.serve.recent import Recent


def test_it_knows_the_last_ones_of_one_version() -> None:
    recent = Recent(2)
    recent.note(1, [("a", {"image": "a"}), ("b", {"image": "b"})])
    recent.note(1, [("a", {"image": "a"}), ("c", {"image": "c"})])
    assert [recent.of(1, name) for name in "abc"] == [{"image": "a"}, None, {"image": "c"}]
    assert recent.of(2, "a") is None
    recent.note(3, [("a", {"image": "new"})])
    assert recent.of(2, "a") is None
    recent.note(None, [("a", {"image": "a"})])
    assert recent.of(None, "a") is None
