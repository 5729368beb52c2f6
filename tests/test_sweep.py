"""Sweeps: what is run, what survives, and that a cluster gives the numbers of one machine."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from kerasnotes.course import catalog, store, sweep

LESSON = "chapter02.logic"
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='the cluster tests need Ray: pip install -e ".[cluster]"'
)


def options(out, **changes):
    values = {"lesson": LESSON, "seeds": "0-1", "changes": [], "scale": "smoke", "out": out, "workers": 2, "threads": 1,
              "attempts": 3, "cluster": None, "record": False}  # fmt: skip
    return SimpleNamespace(**{**values, **changes})


def run(out, **changes):
    """Exit code and printed text of a sweep."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, width=120, record=True)
        code = sweep.main(options(out, **changes), console)
        return code, console.export_text()


def summary(out):
    return json.loads((out / LESSON / "sweep.json").read_text(encoding="utf-8"))


def reports(out):
    """`{path: report without times}` of all runs under a folder."""
    from kerasnotes.course.render import without_times

    found = {}
    for path in sorted(out.rglob("report.json")):
        found[path.relative_to(out)] = without_times(json.loads(path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize(
    ("text", "want"),
    [("0-3", (0, 1, 2, 3)), ("7", (7,)), ("0,3,8-10", (0, 3, 8, 9, 10)), (" 1 - 2 , 2", (1, 2)), ("5-5", (5,))],
)
def test_seeds(text, want):
    assert sweep.parse_seeds(text) == want


@pytest.mark.parametrize(
    ("text", "message"),
    [("3-1", "is empty"), ("", "expected numbers"), ("a", "expected numbers"), ("1,,2", "expected numbers"),
     ("-1", "expected numbers"), ("99999999999", "4294967295"), ("0-99999999", "at most 1,000,000 seeds")],
)  # fmt: skip
def test_wrong_seeds(text, message):
    with pytest.raises(catalog.UsageError, match=message):
        sweep.parse_seeds(text)


def test_settings():
    lesson = catalog.find_lesson("chapter08.clipping")
    grid = sweep.parse_settings(lesson, ["steps=5,7", "bounds=1:5,0.5", "learning-rate=0.1"])
    assert grid == {"steps": (5, 7), "bounds": ((1.0, 5.0), (0.5,)), "learning_rate": (0.1,)}


@pytest.mark.parametrize(
    ("change", "message"),
    [("step=5", "Did you mean steps"), ("steps=x", "steps: expected a whole number"), ("steps", "NAME=VALUE"),
     ("steps=", "NAME=VALUE"), ("steps=0", "from 1 to"), ("steps=5,", "steps: expected"), ("seed=3", "--seeds"),
     ("steps=1.5", "steps: expected a whole number"), ("bounds=1:x", "bounds: expected")],
)  # fmt: skip
def test_wrong_settings(change, message):
    with pytest.raises(catalog.UsageError, match=message):
        sweep.parse_settings(catalog.find_lesson("chapter08.clipping"), [change])
    with pytest.raises(catalog.UsageError, match="twice"):
        sweep.parse_settings(catalog.find_lesson("chapter08.clipping"), ["steps=5", "steps=6"])


def test_every_combination_has_a_folder_of_its_own(tmp_path):
    changes = ["learning_rate=0.1,0.1000001,0.30000000001,0.3", "bounds=1,1:2"]
    _, runs = sweep.plan("chapter08.clipping", "0-2", changes, "smoke", tmp_path)
    assert len(runs) == 4 * 2 * 3
    assert len({each.directory for each in runs}) == len(runs)
    settings = [dict(each.settings) for each in runs]
    assert [each["seed"] for each in settings] == [0, 1, 2] * 8
    assert settings[-1]["bounds"] == (1.0, 2.0)
    assert settings[0]["steps"] == catalog.find_lesson("chapter08.clipping").constant("SMOKE")["steps"]


def test_wrong_usage_is_answered_before_anything_starts(tmp_path):
    for changes, message in (
        ({"lesson": "chapter02.logik"}, "Did you mean"),
        ({"workers": 0}, "--workers"),
        ({"threads": 0}, "--threads"),
        ({"attempts": 0}, "--attempts"),
        ({"cluster": "nowhere"}, "HOST:PORT|Ray"),
        ({"seeds": "0-999", "changes": ["functions=" + ",".join(map(str, range(2, 1003)))]}, "at most 1,000,000 runs"),
    ):
        with pytest.raises(catalog.UsageError, match=message):
            run(tmp_path / "sweep", **changes)
    assert not (tmp_path / "sweep").exists()


@needs_ray
def test_an_unreachable_cluster_is_named_in_time(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(catalog.UsageError, match="nothing answers"):
        run(tmp_path, cluster=f"127.0.0.1:{port}")
    assert time.monotonic() - start < 2 * sweep.CONNECT_SECONDS


def test_a_local_sweep_and_its_second_start(tmp_path):
    code, text = run(tmp_path, changes=["points=300,500"])
    assert code == 0
    assert "4 runs, 0 already there" in text
    found = summary(tmp_path)
    assert [each["status"] for each in found["runs"]] == ["done"] * 4
    assert found["seeds"] == [0, 1]
    direct = {}
    for each in found["runs"]:
        report, _ = store.load(each["directory"])
        assert report["settings"]["points"] == each["swept"]["points"]
        assert report["seed"] == report["settings"]["seed"] == each["seed"]
        for record in report["records"]:
            if record["kind"] == "check" and isinstance(record["got"], float):
                direct.setdefault((each["swept"]["points"], record["label"]), []).append(record["got"])
    assert direct
    for entry in found["checks"]:
        key = entry["swept"]["points"], entry["label"]
        if key in direct and len(direct[key]) == 2:
            values = np.array(direct[key])
            assert entry["mean"] == pytest.approx(values.mean())
            assert entry["error"] == pytest.approx(abs(values[0] - values[1]) / 2)  # std / √2 of two values
            assert (entry["minimum"], entry["maximum"]) == (values.min(), values.max())
        assert entry["held"] == entry["seeds"] == 2
    html = (tmp_path / LESSON / "index.html").read_text(encoding="utf-8")
    assert "4 of 4 runs" in html
    assert "standard error" in html
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("report.json")}
    code, text = run(tmp_path, changes=["points=300,500"])
    assert (code, "4 already there, 0 to do" in text) == (0, True)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("report.json")}
    assert not list(tmp_path.rglob(sweep.STARTED))


def test_a_fresh_record_counts_as_its_run(tmp_path, monkeypatch):
    lesson, runs = sweep.plan(LESSON, "0-1", [], "default", tmp_path)
    provenance = store.provenance(lesson)
    held = {**store.identity(LESSON, "default", 0, dict(runs[0].settings), provenance), "error": None, "records": []}
    store.save(tmp_path / "records", held, {})
    monkeypatch.setattr(sweep.records, "folder", lambda lesson: tmp_path / "records")
    assert [sweep._stored(run, provenance) is not None for run in runs] == [True, False]
    assert sweep._stored(runs[0], {**provenance, "fingerprint": "of other code"}) is None


def test_figures_are_of_what_varies():
    entry = {"label": "loss", "relation": "at most", "want": 1.0, "seeds": 2, "held": 2, "skipped": 0, "mean": 0.5,
             "error": 0.1, "minimum": 0.4, "maximum": 0.6}  # fmt: skip
    checks = [{**entry, "swept": {"rate": rate, "kind": kind}} for rate in (0.1, 10.0) for kind in ("a", "b")]
    same = {**entry, "label": "constant", "swept": {}, "minimum": 0.5, "maximum": 0.5}
    for swept in ({"rate": 0.1}, {"kind": "a"}, {}):
        some = [{**each, "swept": {k: each["swept"][k] for k in swept}} for each in checks]
        pictures = sweep.figures({"checks": [*some, same]})
        assert list(pictures) == ["01-loss.png"]
        assert pictures["01-loss.png"].startswith(b"\x89PNG")
    assert list(sweep.figures({"checks": checks})) == ["01-loss.png"]


def killer(run, *arguments, **more):
    """In place of `work`: seed 1 kills its own process, the first two times or always."""
    marks = run.directory.parent / f"killed-{run.seed}"
    if run.seed == 1:
        count = len(marks.read_text()) if marks.exists() else 0
        if count < int(os.environ["KERASNOTES_KILLS"]):
            marks.parent.mkdir(parents=True, exist_ok=True)
            marks.write_text("x" * (count + 1))
            run.directory.mkdir(parents=True, exist_ok=True)
            (run.directory / sweep.STARTED).write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
    return ORIGINAL(run, *arguments, **more)


ORIGINAL = sweep.work


@pytest.mark.parametrize(("kills", "code"), [(2, 0), (9, 1)])
def test_a_killed_worker_costs_its_run_in_flight_only(tmp_path, monkeypatch, kills, code):
    monkeypatch.setenv("KERASNOTES_KILLS", str(kills))
    monkeypatch.setattr(sweep, "work", killer)
    got, text = run(tmp_path, seeds="0-3", workers=1)
    found = {each["seed"]: each for each in summary(tmp_path)["runs"]}
    assert got == code
    assert [found[seed]["status"] for seed in (0, 2, 3)] == ["done"] * 3
    assert found[1]["status"] == ("done" if code == 0 else "failed")
    if code:
        assert "its worker died 3 times" in found[1]["error"]
        assert "failed: seed 1" in text


def test_what_a_lesson_raises_is_shown_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "work", failure)
    code, text = run(tmp_path, seeds="0-1", workers=1)
    assert code == 1
    assert "failed: seed 1: ValueError: no luck" in text
    assert [each["status"] for each in summary(tmp_path)["runs"]] == ["done", "failed"]


def failure(run, *arguments):
    report, images = ORIGINAL(run, *arguments)
    if run.seed == 1:
        report = {**report, "status": "error", "error": "Traceback …\nValueError: no luck"}
    return report, images


def start_driver(out, *more):
    command = [
        sys.executable,
        "-m",
        "kerasnotes",
        "sweep",
        LESSON,
        "--smoke",
        "--out",
        str(out),
        "--workers",
        "1",
        *more,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_the_driver_may_be_killed_and_goes_on_where_it_was(tmp_path, kind):
    driver = start_driver(tmp_path, "--seeds", "0-15")
    wait_for(lambda: len(list(tmp_path.rglob("report.json"))) >= 2, driver)
    if kind == signal.SIGKILL:
        os.killpg(driver.pid, kind)  # workers go with it
        driver.wait(timeout=30)
    else:
        driver.send_signal(kind)
        text = driver.communicate(timeout=60)[0]
        assert driver.returncode == 130, text
        assert "Interrupted" in text
        assert (tmp_path / LESSON / "sweep.json").exists()
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("report.json")}
    assert 2 <= len(done) < 16
    again = start_driver(tmp_path, "--seeds", "0-15")
    text = again.communicate(timeout=200)[0]
    assert again.returncode == 0, text
    assert f"{len(done)} already there, {16 - len(done)} to do" in text
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())
    assert len(list(tmp_path.rglob("report.json"))) == 16


@needs_ray
def test_a_cluster_gives_the_same_numbers_and_survives_a_killed_node(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    from ray.cluster_utils import Cluster

    assert run(tmp_path / "local", seeds="0-5")[0] == 0
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        driver = start_driver(tmp_path / "cluster", "--seeds", "0-5", "--cluster", cluster.address)
        wait_for(lambda: list((tmp_path / "cluster").rglob("report.json")), driver)
        cluster.remove_node(second, allow_graceful=False)
        text = driver.communicate(timeout=300)[0]
        assert driver.returncode == 0, text
    finally:
        cluster.shutdown()
    local, there = reports(tmp_path / "local"), reports(tmp_path / "cluster")
    assert len(there) == 6
    assert there == local


def test_help_says_how(tmp_path):
    command = [sys.executable, "-m", "kerasnotes", "sweep"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(flag in shown for flag in ("--seeds", "--set", "--cluster", "--workers", "examples:"))
    wrong = subprocess.run([*command, LESSON, "--seeds", "3-1"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert re.search("error: --seeds: 3-1 is empty", wrong.stderr)
