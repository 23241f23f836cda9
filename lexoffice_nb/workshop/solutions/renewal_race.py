"""The race of two renewals: one refresh token, sent twice."""

import time
from concurrent.futures import ThreadPoolExecutor


def attack(exercise):
    exercise.victim.signs_in()
    time.sleep(3)  # the access token lives for two seconds

    with ThreadPoolExecutor(2) as both:
        both.submit(exercise.victim.uses_app)
        both.submit(exercise.victim.uses_app)

    exercise.victim.uses_app()  # is she still signed in?
