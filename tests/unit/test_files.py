import os
import stat
from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.files import make_folder, write_atomically, write_text


def write_new(path):
    path.write_text("new", encoding="utf-8")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text("old", encoding="utf-8")
    return path


def test_the_file_appears_with_its_content_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "a.txt", write_new)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "new"}


def test_an_old_file_stands_until_its_successor_is_complete(old):
    seen = []

    def write(temporary):
        temporary.write_text("half", encoding="utf-8")
        seen.append((old.read_text(), temporary.parent))
        temporary.write_text("whole", encoding="utf-8")

    write_atomically(old, write)
    assert seen == [("old", old.parent)]  # beside it: a rename between file systems would copy
    assert old.read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), RuntimeError("no")])
def test_a_writer_that_fails_leaves_the_old_file_and_no_litter(old, error):
    def write(temporary):
        temporary.write_text("half", encoding="utf-8")
        raise error

    with pytest.raises(type(error)):
        write_atomically(old, write)
    assert [p.name for p in old.parent.iterdir()] == ["result.csv"]
    assert old.read_text() == "old"


def test_a_full_disk_is_an_input_error_that_names_the_file(old):
    def write(temporary):
        temporary.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"result\.csv: cannot write: No space left on device"):
        write_atomically(old, write)
    assert [p.name for p in old.parent.iterdir()] == ["result.csv"]
    assert old.read_text() == "old"


def test_a_disk_that_fails_when_the_content_is_synced_leaves_the_old_file(old, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="Input/output error"):
        write_atomically(old, write_new)
    assert [p.name for p in old.parent.iterdir()] == ["result.csv"]
    assert old.read_text() == "old"


def test_a_missing_folder_and_a_file_for_a_folder_are_input_errors(tmp_path, old):
    with pytest.raises(InputError, match="No such file or directory: choose another folder"):
        write_atomically(tmp_path / "missing" / "a.txt", write_new)
    with pytest.raises(InputError, match="Not a directory"):
        write_atomically(old / "a.txt", write_new)


def test_a_folder_in_the_place_of_the_file_is_an_input_error(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(InputError, match=r"a\.txt: is a folder"):
        write_atomically(tmp_path / "a.txt", write_new)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_file_has_the_rights_that_the_umask_leaves(tmp_path):
    mask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.txt", write_new)
        assert os.umask(0o027) == 0o027  # and the umask is as it was
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_folders_are_made_with_their_parents_or_named_in_an_error(tmp_path, old):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    for path in (old, old / "b"):
        with pytest.raises(InputError, match=f"{path}: cannot make this folder"):
            make_folder(path)


def test_a_link_keeps_pointing_to_its_target(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_the_rights_of_a_file_stay(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o600)
    write_text(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_device_is_written_to_and_not_replaced():
    write_text(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()
