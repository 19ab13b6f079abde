"""What a file says of where it comes from."""

from lt_det.utils.provenance import commit


def test_a_machine_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown"
