import os
from pathlib import Path

import pytest

from exporter.collectors.base import CollectError
from exporter.collectors.volume import filesystem_usage, folder_usage


def test_a_folder_is_as_full_as_the_bytes_in_it(tmp_path: Path) -> None:
    assert folder_usage(tmp_path, 1000) == 0
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a").write_bytes(b"x" * 300)
    (tmp_path / "deep" / "er" / "b").write_bytes(b"x" * 200)
    os.link(tmp_path / "a", tmp_path / "deep" / "same as a")
    (tmp_path / "outside").symlink_to("/usr")
    assert folder_usage(tmp_path, 1000) == 0.5
    assert folder_usage(tmp_path, 100) > 1


def test_a_filesystem_is_as_full_as_df_says(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    used = found.f_blocks - found.f_bfree
    assert filesystem_usage(tmp_path) == pytest.approx(used / (used + found.f_bavail), abs=0.01)


def test_what_is_not_there_is_no_empty_volume(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match="not a folder"):
        folder_usage(tmp_path / "gone", 10)
    with pytest.raises(CollectError, match="No such file"):
        filesystem_usage(tmp_path / "gone")
