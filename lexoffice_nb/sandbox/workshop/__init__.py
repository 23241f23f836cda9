"""The world of the workshop's exercises: an issuer whose checks can be switched off, its victim, and a journal.

It exists only in a process that was started with `--workshop` (or `SandboxSettings(workshop=True)`). The usual sandbox
loads nothing of it: its own classes have no switches, and the ones here are subclasses of them.
"""
