import os
import subprocess
import sys

import pytest

from bench.cpu import CpuTime, Stat, cpu_time, parse_stat, process_seconds, read_stat, tree

# As Linux 6.18 printed it for an nginx worker.
CAPTURED = (
    "9929 (nginx) S 9928 9928 9928 0 -1 4194624 527 0 0 0 26 63 0 0 20 0 1 0 237075 13717504 "
    "1734 18446744073709551615 94804272291840 94804273075313 140734726811120 0 0 0 0 1073745920 "
    "402745863 1 0 0 17 0 0 0 0 0 0 94804273309776 94804273410848 94804418805760 140734726818455 "
    "140734726818533 140734726818533 140734726819816 0\n"
)


def test_user_and_system_ticks_are_fields_14_and_15() -> None:
    assert parse_stat(CAPTURED) == Stat(9929, 9928, "S", 26, 63)


@pytest.mark.parametrize("name", ["a b", ") S 1 (", "((", "x) R 7"])
def test_a_name_with_brackets_and_spaces_shifts_no_field(name: str) -> None:
    assert parse_stat(CAPTURED.replace("nginx", name)) == Stat(9929, 9928, "S", 26, 63)


@pytest.mark.parametrize("text", ["", "9929 nginx S 1", "9929 (nginx) S 9928 9928"])
def test_a_damaged_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a line"):
        parse_stat(text)


def test_a_tree_holds_a_child_and_its_child_and_nobody_else() -> None:
    grandchild = "import sys; print('up', flush=True); sys.stdin.read()"
    child = (
        "import subprocess, sys; "
        f"subprocess.run([sys.executable, '-c', {grandchild!r}], check=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        found = tree(process.pid)
        assert process.pid in found
        assert len(found) == 2
        assert {read_stat(pid).parent for pid in found} == {os.getpid(), process.pid}
    assert process.returncode == 0


def test_cpu_time_grows_with_work_and_is_the_sum_of_the_processes() -> None:
    before = cpu_time((os.getpid(),))
    sum(number * number for number in range(200_000))
    spent = cpu_time((os.getpid(),)) - before
    assert spent.total_s > 0
    twice = cpu_time((os.getpid(), os.getpid()))
    assert twice.total_s > before.total_s * 2


def test_a_process_that_is_gone_is_named() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for ask in (process_seconds, read_stat, lambda pid: cpu_time((pid,))):
        with pytest.raises(ProcessLookupError, match=str(process.pid)):
            ask(process.pid)


def test_cpu_times_are_subtracted_part_by_part() -> None:
    assert CpuTime(3.0, 2.0, 1.0) - CpuTime(1.0, 0.5, 0.5) == CpuTime(2.0, 1.5, 0.5)
