"""Chapter 16 · Summary · 总结.

The whole course on one page: what every chapter checked, where the notes had to be corrected, and what has become of
the calls that the course documents.
"""

LESSONS = ("documented_calls", "summary")
BUDGET = 10  # seconds of the whole chapter at default scale, on two CPU cores
