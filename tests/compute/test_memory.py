import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svmcifar.compute import memory
from svmcifar.compute.memory import available_bytes, default_memory_limit, format_bytes, parse_bytes
from svmcifar.errors import InputError


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [
        (3_000_000, 3_000_000),
        (1500.7, 1500),
        ("7", 7),
        ("100 B", 100),
        ("10kB", 10**4),
        ("512 MB", 512 * 10**6),
        ("3GB", 3 * 10**9),
        ("4 kib", 4 * 2**10),
        ("512MiB", 512 * 2**20),
        (" 2.5 GiB ", 5 * 2**29),
        (".5G", 5 * 10**8),
        ("1e9", 10**9),
        ("2e3 MB", 2 * 10**9),
    ],
)
def test_sizes_are_read(size, n_bytes):
    assert parse_bytes(size) == n_bytes


@pytest.mark.parametrize(
    "size",
    [
        *(0, -1, "0GB", "0.2", "-3GB", "", "GB", "3TB", "3iB", "1.5.2GB", "3 G B", "nan", "3GB!"),
        "1e400",
    ],
)
def test_what_is_no_size_is_refused(size):
    with pytest.raises(InputError) as caught:
        parse_bytes(size)
    assert str(caught.value) == (
        "A memory limit must be a number of bytes above 0, or such as '3GB' or '512MiB'. "
        f"Got {size!r} instead."
    )


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (123_456_789, "117.7 MiB"),
        (2**30, "1 GiB"),
        (5 * 2**40, "5120 GiB"),
    ],
)
def test_sizes_are_written(n_bytes, text):
    assert format_bytes(n_bytes) == text


@settings(deadline=None)
@given(st.integers(1, 9999 * 2**30))
def test_what_is_written_can_be_read(n_bytes):
    assert parse_bytes(format_bytes(n_bytes)) == pytest.approx(n_bytes, rel=1e-3)


def machine(monkeypatch, files, physical=(1000, 4096)):
    """Stand in for the files and the answers of an operating system."""

    pages, page_size = physical
    answers = {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": page_size}
    monkeypatch.setattr(memory, "_read_lines", lambda path: files.get(path, "").splitlines())
    monkeypatch.setattr(memory.os, "sysconf", answers.get)
    monkeypatch.setattr(memory.os, "sysconf_names", answers if pages else {})


MEMINFO = {"/proc/meminfo": "MemTotal: 900 kB\nMemFree: 1 kB\nMemAvailable:   700 kB\n"}
MAX, CURRENT = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (MEMINFO, 700 * 1024),
        ({**MEMINFO, MAX: "max\n", CURRENT: "5\n"}, 700 * 1024),
        ({**MEMINFO, MAX: "500000\n", CURRENT: "100000\n"}, 400_000),
        ({**MEMINFO, MAX: "900000\n", CURRENT: "1000\n"}, 700 * 1024),
        ({**MEMINFO, MAX: "5000\n", CURRENT: "6000\n"}, 1),
        ({MAX: "5000\n", CURRENT: "1000\n"}, 4000),
        ({**MEMINFO, MAX: "500000\n"}, 700 * 1024),
        ({}, 1000 * 4096),
    ],
)
def test_the_least_bound_counts(monkeypatch, files, expected):
    machine(monkeypatch, files)
    assert available_bytes() == expected
    assert default_memory_limit() == expected * 9 // 10


JOB = "/system.slice/slurmstepd.scope/job_1/step_0/user/task_0"
V2, V1 = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
IN_V2 = {**MEMINFO, "/proc/self/cgroup": f"0::{JOB}\n"}
IN_V1 = {**MEMINFO, "/proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/slurm/job_1\n0::/\n"}
UNLIMITED = "9223372036854771712\n"


def group(folder, limit, usage, version=2, stat=None, **more):
    """Return the files of a control group."""
    names = {2: ("max", "current"), 1: ("limit_in_bytes", "usage_in_bytes")}[version]
    files = dict(zip(names, (limit, usage), strict=True)) | more
    files |= {} if stat is None else {"stat": stat}
    return {f"{folder}/memory.{name}": f"{value}\n" for name, value in files.items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (group(V2 + JOB, 500_000, 100_000), 400_000),
        (group(f"{V2}/system.slice", 300_000, 100_000) | group(V2 + JOB, "max", 5), 200_000),
        (group(f"{V2}/system.slice", 600_000, 100_000) | group(V2 + JOB, 400_000, 5), 399_995),
        (group(V2 + JOB, "max", 100_000, high=400_000), 300_000),
        (group(V2 + JOB, 400_000, 100_000, stat="file 90000\ninactive_file 30000"), 330_000),
        (group(V2 + JOB, 400_000, 100_000, stat="inactive_file 200000"), 400_000),
        (group(f"{V2}/of_another_job", 1000, 10), 700 * 1024),
        (group(V2, 5000, 1000), 4000),
    ],
)
def test_the_groups_around_a_job_count(monkeypatch, files, expected):
    machine(monkeypatch, IN_V2 | files)
    assert available_bytes() == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (group(f"{V1}/slurm/job_1", 500_000, 100_000, 1), 400_000),
        (group(f"{V1}/slurm", 300_000, 100_000, 1) | group(f"{V1}/slurm/job_1", UNLIMITED, 5, 1),
         200_000),
        (group(V1, UNLIMITED, 100_000, 1), 700 * 1024),
        (group(V1, 500_000, 100_000, 1), 400_000),  # as in a container, which sees no more
        (group(f"{V1}/slurm", 500_000, 100_000, 1, "inactive_file 7\ntotal_inactive_file 60000"),
         460_000),
    ],
)  # fmt: skip
def test_groups_of_the_first_version_count(monkeypatch, files, expected):
    machine(monkeypatch, IN_V1 | files)
    assert available_bytes() == expected


@pytest.mark.parametrize(("limit", "used"), [("RLIMIT_AS", 10), ("RLIMIT_DATA", 60)])
def test_limits_on_the_process_count(monkeypatch, limit, used):
    resource = pytest.importorskip("resource")
    limits = {getattr(resource, limit): (500_000, -1)}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits.get(kind, (-1, -1)))
    monkeypatch.setattr(resource, "getpagesize", lambda: 1000)
    machine(monkeypatch, {**MEMINFO, "/proc/self/statm": "10 20 30 40 50 60 0\n"})
    assert available_bytes() == 500_000 - used * 1000
    limits.clear()
    assert available_bytes() == 700 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_this_process_is_seen(limit):
    code = (
        f"import resource; resource.setrlimit(resource.{limit}, (2**31, 2**31)); "
        f"from svmcifar.compute.memory import available_bytes; print(available_bytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert 2**20 < int(done.stdout) < 2**31


def test_a_machine_that_does_not_tell(monkeypatch):
    machine(monkeypatch, {}, physical=(0, 0))
    assert available_bytes() is None
    assert default_memory_limit() is None


def test_this_machine_has_some_memory():
    assert 2**20 < available_bytes() < 2**50
