from __future__ import annotations

from pathlib import Path

import pytest

from lossmeter import cpus
from lossmeter.settings import Settings


@pytest.mark.parametrize(("text", "quota"), [("150000 100000\n", 1.5), ("400000 100000\n", 4), ("max 100000\n", None)])
def test_the_read_quota_a_control_group_is_read(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpus.read_quota(tmp_path) == quota


@pytest.mark.parametrize(("micros", "quota"), [("150000\n", 1.5), ("-1\n", None)])
def test_the_read_quota_a_control_group_of_version_1_is_read(tmp_path: Path, micros: str, quota: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(micros)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpus.read_quota(tmp_path) == quota


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpus.read_quota(tmp_path) is None


def test_a_quota_below_one_core_leaves_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
    assert cpus.available() == 1


def test_workers_share_the_cores_of_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "available", lambda: 6)
    assert Settings(workers=2).torch_threads == 3
    assert Settings(workers=8).torch_threads == 1
    assert Settings(workers=8, threads=2).torch_threads == 2
