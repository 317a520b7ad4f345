"""The quickstart's own web: shipped pictures, planted faults, a server on loopback, a verdict.

Everything is real but the size: sockets that reset, files that end early, texts of other pictures.
What was planted is known, so the end of a run can say how much of it was caught.
"""
