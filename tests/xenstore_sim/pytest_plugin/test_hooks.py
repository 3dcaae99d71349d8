"""The plugin as pytest's users meet it: whole runs of small suites."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from xenstore_sim.pytest_plugin import pytest_configure_node
from xenstore_sim.pytest_plugin.xenstored import Xenstored

pytest_plugins = "pytester"

DEADLINE_S = 60


@pytest.fixture(autouse=True)
def _no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs shall be short, and not depend on what else is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, suite: str, *options: str) -> pytest.RunResult:
    """A run of a suite with one file, in a process of its own."""
    pytester.makepyfile(suite)
    command = ("-p", "xenstored", "-p", "no:cacheprovider", *options)
    return pytester.runpytest_subprocess(*command, timeout=DEADLINE_S)


FAILING = """
    import pytest
    from xenstore_sim.wire.errors import RequestRefused

    @pytest.mark.xenstored(faults="eacces=0.5,path=/probe")
    @pytest.mark.parametrize("asked", [60])
    def test_fails(xenstored, asked):
        import socket, struct
        xenstored.write("/local/name", b"guest" * 20)
        answers = []
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(xenstored.socket_path))
            for number in range(asked):
                client.sendall(struct.pack("<4I", 2, number, 0, 7) + b"/probe\\0")
                answers.append(client.recv(100)[16:-1].decode())
        print("answers:", *answers)
        assert False
"""


def test_a_failing_test_shows_tree_and_faults_and_the_seed(pytester: pytest.Pytester) -> None:
    result = run(pytester, FAILING, "--xenstored-seed=7")
    result.assert_outcomes(failed=1)
    shown = result.stdout.str()
    assert "xenstored: --xenstored-seed=7\n" in shown
    section = shown.partition("- xenstored -")[2].splitlines()[1:]
    assert section[0] == "seed: 7 (repeat with --xenstored-seed=7)"
    assert re.fullmatch(r"injected faults: \d+", section[1])
    assert re.fullmatch(
        r"  1: eacces \(dom0, connection 1\) READ /probe: refused, nothing was done", section[2]
    )
    assert "tree:" in section
    value = "guest" * 12
    assert f"  /local/name = '{value}' ... 100 bytes (n0)" in section


def test_the_seed_of_a_run_repeats_its_faults(pytester: pytest.Pytester) -> None:
    first = run(pytester, FAILING).stdout.str()
    (seed,) = set(re.findall(r"--xenstored-seed=(\d+)", first))
    again = run(pytester, FAILING, f"--xenstored-seed={seed}").stdout.str()
    other = run(pytester, FAILING, f"--xenstored-seed={int(seed) + 1}").stdout.str()
    faults = [
        re.findall(r"^  \d+: eacces .*", each, re.MULTILINE) for each in (first, again, other)
    ]
    # ENOENT or EACCES to each of 60 requests.
    answers = [re.findall(r"^answers: .*", each, re.MULTILINE) for each in (first, again, other)]
    assert faults[0]
    assert faults[0] == faults[1]
    assert answers[0] == answers[1] != answers[2]


def test_a_large_tree_and_many_faults_are_cut(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        def test_fails(xenstored):
            import socket, struct
            for number in range(300):
                xenstored.write(f"/n/{number}", "")
            xenstored.inject("eacces=1")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(xenstored.socket_path))
                for number in range(80):
                    client.sendall(struct.pack("<4I", 2, number, 0, 2) + b"/\\0")
                    client.recv(100)
            assert False
        """,
    )
    section = result.stdout.str().partition("- xenstored -")[2].splitlines()
    assert "injected faults: 80" in section
    assert "  ... 30 more before these" in section
    assert "  ... 104 more nodes" in section
    assert len(section) < 270


def test_a_passing_test_shows_nothing(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_passes(xenstored): xenstored.write('/a', '')", "-rA")
    result.assert_outcomes(passed=1)
    assert "tree:" not in result.stdout.str()


def test_a_daemon_that_ends_fails_the_test_with_its_reason(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import socket, struct

        def test_fails(xenstored):
            xenstored.set_domain_exists(lambda domid: 1 / 0)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(xenstored.socket_path))
                client.sendall(struct.pack("<4I", 8, 1, 0, 6) + b"3\\0001\\0001\\0")
                assert client.recv(100) == b""
            xenstored.read("/")
        """,
    )
    result.assert_outcomes(failed=1, errors=1)
    shown = result.stdout.str()
    reason = "xenstored ended: ZeroDivisionError: division by zero"
    assert f"DaemonFailed: {reason}" in shown
    assert shown.count(reason) >= 3


WRONG_MARKERS = (
    ("'4.17'", "marker='4.17': name it: compat, quotas, faults, watch_timeout_s"),
    ("release='4.17'", "release='4.17': there are compat, quotas, faults, watch_timeout_s"),
    ("compat='4.1'", "compat='4.1': the releases are 4.17, 4.20, 4.22"),
    ("quotas={'cows': 1}", "quotas='cows': there are nodes, watches"),
    ("quotas={'nodes': 'many'}", "quotas['nodes']='many': a number, 0 for no bound"),
    ("quotas=3", "quotas=3: a dict such as"),
    ("faults='late=2'", "faults='late=2': late=2.0: a rate is a number from 0 to 1"),
    ("faults=0.5", "faults=0.5: a FaultPlan, or a text such as"),
    ("watch_timeout_s=-1", "watch_timeout_s=-1: seconds, 0 for no bound"),
    ("watch_timeout_s='1'", "watch_timeout_s='1': seconds, 0 for no bound"),
)


def test_a_wrong_marker_is_refused_by_the_name_of_its_field(pytester: pytest.Pytester) -> None:
    tests = (
        f"@pytest.mark.xenstored({marker})\ndef test_{number}(xenstored): pass\n"
        for number, (marker, _) in enumerate(WRONG_MARKERS)
    )
    result = run(pytester, "import pytest\n" + "".join(tests))
    result.assert_outcomes(errors=len(WRONG_MARKERS))
    shown = result.stdout.str()
    for _, told in WRONG_MARKERS:
        assert f"the fixture xenstored: {told}" in shown
    assert "Traceback" not in shown
    assert "hooks.py" not in shown


def test_markers_of_class_and_test_add_up_and_the_nearest_wins(pytester: pytest.Pytester) -> None:
    suite = """
        import pytest

        @pytest.mark.xenstored(compat="4.17", quotas={"nodes": 5})
        class TestIt:
            @pytest.mark.xenstored(quotas={"nodes": 7})
            def test_it(self, xenstored):
                told = xenstored.control("quota")
                assert "nodes            :        7" in told
                assert "help\\t" in xenstored.control("help")
    """
    run(pytester, suite).assert_outcomes(passed=1)


def test_options_can_stand_in_the_configuration_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nxenstored_compat = 4.17\nxenstored_seed = 11\n")
    suite = """
        def test_it(xenstored):
            assert xenstored.seed == 11
            assert "help\\t" in xenstored.control("help")
    """
    run(pytester, suite).assert_outcomes(passed=1)
    shown = run(pytester, suite, "--xenstored-compat=4.20", "--xenstored-seed=12").stdout.str()
    assert "assert 12 == 11" in shown


@pytest.mark.parametrize("seed", ["x", "-1", "1.5"])
def test_a_wrong_seed_ends_the_run(pytester: pytest.Pytester, seed: str) -> None:
    result = run(pytester, "", f"--xenstored-seed={seed}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"xenstored seed: {seed!r} is none: write a decimal number" in result.stderr.str()


def test_workers_of_xdist_have_the_seed_of_the_run(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, xenstored: Xenstored
) -> None:
    node = SimpleNamespace(config=pytestconfig, workerinput=dict[str, object]())
    pytest_configure_node(node)
    # What xdist does on the other side.
    pytester.makeconftest(f"""
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_configure(config):
            config.workerinput = {node.workerinput!r}
    """)
    suite = f"def test_it(xenstored): assert xenstored.seed == {xenstored.seed}"
    result = run(pytester, suite)
    result.assert_outcomes(passed=1)


def test_nothing_is_left_behind(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import threading

        seen = []

        def test_first(xenstored):
            xenstored.write("/a", "")
            seen.append(xenstored.rundir)
            assert len(str(xenstored.rundir)) < 40

        def test_second(xenstored):
            assert not xenstored.exists("/a")
            assert xenstored.rundir != seen[0]
            assert not seen[0].exists()
            assert [each.name for each in threading.enumerate()].count("xenstored") == 1
        """,
    )
    result.assert_outcomes(passed=2)


def test_pytest_starts_without_the_server() -> None:
    program = (
        "import sys, xenstore_sim.pytest_plugin\n"
        "print(sorted(name for name in sys.modules if name.startswith(('trio', 'xenstore_sim'))))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed == (
        "['xenstore_sim', 'xenstore_sim.pytest_plugin', 'xenstore_sim.pytest_plugin.hooks']\n"
    )
