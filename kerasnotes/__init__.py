"""Deep-learning notes that you can run, check and copy: the companion package of a course on Keras and TensorFlow."""

__version__ = "0.1.0"


def run(lesson, *, scale="default", seed=0, **settings):
    """Run one lesson and return its report, which displays itself in a notebook.

    ```
    from kerasnotes import run
    from kerasnotes.chapter08 import clipping
    run(clipping, steps=50)
    ```

    Args:
        lesson: The lesson's module.
        scale: `"smoke"`, `"default"` or `"full"`.
        seed: Seed for Python, NumPy and TensorFlow, and the lesson's own `seed`.
        **settings: The lesson's keyword arguments.

    Returns:
        A `kerasnotes.course.report.Report`.

    Raises:
        ValueError: If a setting is unknown or out of its range.
    """
    from kerasnotes.course.run import run_module

    return run_module(lesson, scale=scale, seed=seed, settings=settings)
