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


def exercise(number):
    """An exercise, which displays itself in a notebook: the question, the code to fill in, hints folded.

    Args:
        number: Such as `"08.2"`; `python -m kerasnotes exercise` lists them.

    Raises:
        ValueError: If there is no such exercise.
    """
    from kerasnotes.course.check import handed_out

    return handed_out(number)


def check(number, answer=None, **values):
    """Check an answer to an exercise; what is found displays itself in a notebook.

    ```
    check("08.2", clip_by_global_norm)
    check("08.3", factor_one_step=0.8)
    ```

    Args:
        number: Of the exercise.
        answer: Your function or class.
        **values: Or, where numbers are to be predicted, your numbers.

    Raises:
        ValueError: If there is no such exercise, or it asks for something else.
    """
    from kerasnotes.course.check import check_answer

    return check_answer(number, answer, values)
