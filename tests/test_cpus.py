"""How many CPUs a process may use."""

from __future__ import annotations

import os

import pytest

from flowkit import cpus as counted
from flowkit.motion.flow import thread_count

V1 = "5:cpuset:/\n4:cpu,cpuacct:/docker/3f\n1:name=systemd:/docker/3f\n0::/system.slice\n"


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        (None, {}, 64),
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000"}, 64),
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "5000 100000"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000"}, 64),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "800000 100000", "cpu.max": "600000 100000"}, 6),
        ("0::/of/the/host\n", {"cpu.max": "400000 100000"}, 4),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        (V1, {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (V1, {"cpu/docker/3f/cpu.cfs_quota_us": "50000", "cpu/docker/3f/cpu.cfs_period_us": "25000"}, 2),
        (V1, {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_a_containers_quota_is_heeded(tmp_path, monkeypatch, membership, files, cpus):
    """Of 64 CPUs. Rounded up, and at least one; of groups around one another the least counts."""
    monkeypatch.setattr(counted, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(counted, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert counted.available_cpus() == thread_count(None) == cpus
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert counted.available_cpus() == min(cpus, 2)
