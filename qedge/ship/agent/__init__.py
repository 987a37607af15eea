"""Runs on the device: sent there as text, or started by its timer (``follow.py``).

It imports the standard library, itself, and what of qedge does the same (``SENT``).

A request is one line of JSON on stdin, with the bytes of files after it; the answer is one line of JSON on
stdout after ``QEDGE:``. Everything is prepared beside what runs and made active by renaming one link, so that
a connection lost at any moment leaves the active version as it was.
"""

SENT = ("qedge.errors", "qedge.bundle.canonical", "qedge.trust.keygen")
"""Modules that are sent with it; of the packages that they are in, nothing else is."""
