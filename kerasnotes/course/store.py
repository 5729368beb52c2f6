"""Reports on disk: written whole or not at all, and read back for `--resume` and for the chapter's page."""

import datetime
import hashlib
import json
import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path

from kerasnotes import __version__
from kerasnotes.course import catalog
from kerasnotes.course.fingerprint import Fingerprints
from kerasnotes.course.render import chapter_html

TRIAL_BYTES = 1_000_000  # what must fit into a folder before a run begins
PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib", "gymnasium")


def write_atomically(path, content):
    """Write bytes or text so that a reader, or a crash, sees the old file or the new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode("utf-8")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def cores():
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def today():
    """The date in UTC as text."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def versions():
    """Versions of Python and of the packages that results depend on, without importing them."""
    found = {"python": platform.python_version(), "kerasnotes": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def provenance(lesson, prints=None):
    """What a result depends on besides its settings: `{"versions": …, "fingerprint": …}`.

    Args:
        lesson: The `catalog.Lesson`.
        prints: A `Fingerprints` to share between lessons, or None.
    """
    return {"versions": versions(), "fingerprint": (prints or Fingerprints()).of(lesson)}


def default_settings(lesson):
    """The settings of a recorded run: default scale, seed 0."""
    return effective_settings(lesson, "default", 0)


def effective_settings(lesson, scale, seed, changed=None):
    """The keyword arguments of a run: the lesson's defaults, then its scale's, then the user's."""
    settings = {setting.name: setting.default for setting in lesson.settings}
    settings.update(lesson.scale_settings(scale))
    settings.update(changed or {})
    if "seed" in settings:
        settings["seed"] = seed
    return settings


def settings_as_json(settings):
    """Settings as `report.json` holds them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def identity(full_name, scale, seed, settings, provenance):
    """What a stored report must say for `reusable` to take it in place of a new run."""
    return {
        "lesson": full_name, "scale": scale, "seed": seed, "settings": settings_as_json(settings), **provenance,
    }  # fmt: skip


def check_place(path, name):
    """Make sure, before anything runs, that files can be written into a folder, which need not exist yet.

    Args:
        path: The folder.
        name: What the message calls it, such as `"--out"`.

    Raises:
        UsageError: If a file is in the way, the place is read-only or full, or its name is impossible.
    """
    path = Path(path)
    try:
        there = next(each for each in (path, *path.parents, *path.absolute().parents) if each.exists())
        if not there.is_dir():
            raise catalog.UsageError(f"{name}: expected a folder, got the file {there}")
        with tempfile.NamedTemporaryFile(prefix=".kerasnotes-", dir=there) as trial:
            trial.write(b"\0" * TRIAL_BYTES)
            trial.flush()
            os.fsync(trial.fileno())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise catalog.UsageError(
            f"{name}: nothing can be written to {path} ({reason}); choose another folder"
        ) from None


def save(directory, report, images):
    """Write one lesson's report and figures into `directory`, the report last; remove figures it no longer has."""
    directory = Path(directory)
    earlier = load(directory, with_images=False)
    for name, image in images.items():
        write_atomically(directory / name, image)
    write_atomically(directory / "report.json", to_json({**report, "digest": _digest(report)}))
    if earlier is not None:
        for record in earlier[0]["records"]:
            if record["kind"] == "figure" and record["file"] not in images:
                (directory / record["file"]).unlink(missing_ok=True)


def untouched(report):
    """Whether a stored report is as it was written: an edited one is no result."""
    return report.get("digest") == _digest(report)


def _digest(report):
    content = {name: value for name, value in report.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def load(directory, with_images=True):
    """Read one lesson's `(report, images)` back, or None if it is not there or not whole."""
    directory = Path(directory)
    try:
        report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
        names = [record["file"] for record in report["records"] if record["kind"] == "figure"]
        return report, {name: (directory / name).read_bytes() for name in names if with_images}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def reusable(report, expected):
    """Whether a stored report is what a new run would give: it ended, and lesson, scale, seed, settings, versions and
    fingerprint are the expected ones."""
    return report["error"] is None and all(report.get(name) == value for name, value in expected.items())


def save_index(chapter, directory):
    """Write the chapter's `index.html` from the reports that lie in `directory`. Returns its path."""
    stored = [load(Path(directory) / lesson.name) for lesson in chapter.lessons]
    path = Path(directory) / "index.html"
    write_atomically(
        path, chapter_html(chapter.titles, chapter.about, [entry for entry in stored if entry is not None])
    )
    return path


def to_json(data):
    """JSON text, readable, with non-ASCII characters as they are."""
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
