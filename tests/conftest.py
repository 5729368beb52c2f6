"""One TensorFlow for all tests, imported without its log lines; figures without a window."""

import os

os.environ["MPLBACKEND"] = "Agg"
os.environ["LANGUAGE"] = "en"  # whatever the machine speaks

from hypothesis import settings

from kerasnotes.course.run import import_tensorflow

settings.register_profile("kerasnotes", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("kerasnotes")

import_tensorflow()
