"""One process of benchmarks/pacing.py: asks one account for its profile, again and again, in one of three ways.

    python benchmarks/peers/pacing.py plain

What it needs comes as JSON on the first line of stdin; a further line lets it begin. It says on stdout when it is
ready, and what came of it. It ends when it is done, when its stdin ends, and after its `life` in any case.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/v1/profile"


def ours(given: dict[str, Any]) -> Callable[[], object]:
    from dataclasses import replace

    from lexoffice_nb.oauth.provider import Provider
    from lexoffice_nb.session import LexofficeSession

    provider = replace(Provider.discover(given["url"]), request_interval=given["interval"])
    session = LexofficeSession.from_api_key(given["key"], provider)
    return lambda: session.get(PATH).json()


def plain(given: dict[str, Any]) -> Callable[[], object]:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {given['key']}"
    retry = Retry(total=5, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504])
    session.mount("http://", HTTPAdapter(max_retries=retry))

    def request() -> object:
        response = session.get(given["url"] + PATH)
        time.sleep(0.5)
        response.raise_for_status()
        return response.json()

    return request


def lexoffice_py(given: dict[str, Any]) -> Callable[[], object]:
    from lexoffice_py.client import Lexoffice

    logging.disable(logging.WARNING)  # it warns of each refusal, which the sandbox counts
    client = Lexoffice(given["key"])
    client.BASE_URL = given["url"]  # each request reads it; there is no argument for it
    return client.get_profile


WAYS = {one.__name__: one for one in (ours, plain, lexoffice_py)}


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(3)


def main() -> None:
    given = json.loads(sys.stdin.readline())
    end = threading.Timer(given["life"], os._exit, (3,))
    end.daemon = True
    end.start()
    request = WAYS[sys.argv[1]](given)
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    threading.Thread(target=end_with_stdin, daemon=True).start()
    errors: Counter[str] = Counter()
    began = time.time()
    for _ in range(given["requests"]):
        try:
            request()
        except Exception as error:  # noqa: BLE001 - whatever reaches the caller is counted
            errors[type(error).__name__] += 1
    print(json.dumps({"began": began, "ended": time.time(), "errors": errors}), flush=True)


if __name__ == "__main__":
    main()
