"""Sizes of folders within a bounded time."""

from stages.service.folder_sizes import FolderSize, measure_folders


def test_a_folder_is_measured_without_following_links(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 3000)
    (tmp_path / "a" / "link").symlink_to("/usr")
    found = measure_folders([str(tmp_path / "a"), str(tmp_path / "none")], 5)
    size = 3000 + len("/usr")
    assert found == {str(tmp_path / "a"): FolderSize(size, complete=True)}


def test_what_takes_too_long_is_at_least_as_large_as_said(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "file").write_bytes(b"x" * 100)
    found = measure_folders(map(str, folders), 0)
    assert found == {str(folder): FolderSize(0, complete=False) for folder in folders}
    found = measure_folders(map(str, folders), 5)
    assert found == {str(folder): FolderSize(100, complete=True) for folder in folders}
