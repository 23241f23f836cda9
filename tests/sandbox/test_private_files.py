"""Files and folders that only their owner can read, on a machine with other users."""

from __future__ import annotations

import os
import stat

import pytest

from lexoffice_nb.sandbox.private_files import (
    NotPrivate,
    create_private_file,
    make_private_folder,
    read_private_file,
    write_private_file,
)

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")


def mode(path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_missing_folder_and_those_above_it_are_made_for_the_owner_alone(tmp_path):
    folder = make_private_folder(tmp_path / "a" / "b" / "c")
    assert [mode(each) for each in (folder, folder.parent, folder.parent.parent)] == [0o700] * 3


def test_ones_own_open_folder_is_closed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o755)
    assert mode(make_private_folder(tmp_path / "mine")) == 0o700


@as_root
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    folder.chmod(0o755)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        make_private_folder(folder)
    assert mode(folder) == 0o755


def test_a_planted_link_is_refused_and_its_target_left_as_it_is(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    target.chmod(0o755)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(NotPrivate, match="link"):
        make_private_folder(tmp_path / "link")
    assert mode(target) == 0o755


def test_a_link_that_is_planted_after_the_look_is_not_followed_either(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.mkdir()
    target.chmod(0o755)
    (tmp_path / "link").symlink_to(target)
    monkeypatch.setattr(type(tmp_path), "is_symlink", lambda _: False)
    with pytest.raises(OSError, match="link"):
        make_private_folder(tmp_path / "link")
    assert mode(target) == 0o755


@pytest.mark.parametrize("open_to_others", [0o777, 0o770, 0o702])
def test_a_folder_in_one_that_others_can_write_is_refused(tmp_path, open_to_others):
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(open_to_others)
    with pytest.raises(NotPrivate, match="can be written by other users"):
        make_private_folder(parent / "mine")
    assert not (parent / "mine").exists()


def test_a_folder_in_a_sticky_one_is_made(tmp_path):
    parent = tmp_path / "tmp"
    parent.mkdir()
    parent.chmod(0o1777)
    assert mode(make_private_folder(parent / "mine")) == 0o700


@as_root
@pytest.mark.parametrize("mode_of_parent", [0o755, 0o1777])
def test_a_folder_in_one_of_somebody_else_is_refused(tmp_path, mode_of_parent):
    parent = tmp_path / "theirs"
    parent.mkdir()
    parent.chmod(mode_of_parent)
    os.chown(parent, NOBODY, NOBODY)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        make_private_folder(parent / "mine")


@as_root
def test_a_folder_behind_a_link_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.chown(tmp_path / "link", NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        make_private_folder(tmp_path / "link" / "mine")


def test_a_file_is_not_made_through_a_link_and_its_target_is_left_as_it_is(tmp_path):
    target = tmp_path / "target"
    target.write_text("")
    target.chmod(0o644)
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("link", "dangling"):
        with pytest.raises(OSError, match=name):
            create_private_file(tmp_path / name)
    assert mode(target) == 0o644
    assert not (tmp_path / "nothing").exists()


@as_root
def test_a_file_of_somebody_else_is_neither_taken_nor_read(tmp_path):
    path = tmp_path / "theirs"
    write_private_file(path, "text")
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        create_private_file(path)
    with pytest.raises(NotPrivate, match="not private"):
        read_private_file(path)


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(NotPrivate, match="not a regular file"):
        read_private_file(tmp_path / "pipe")


def test_a_private_file_is_read_and_one_that_others_can_read_is_not(tmp_path):
    path = tmp_path / "file"
    write_private_file(path, "text")
    assert (mode(path), read_private_file(path)) == (0o600, "text")
    path.chmod(0o604)
    with pytest.raises(NotPrivate, match="not private"):
        read_private_file(path)
