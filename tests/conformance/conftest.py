"""The providers and surroundings of the protocol's own tests."""

from tests.oauth.conftest import _plain_surroundings, box, box_attempt, start

__all__ = ["_plain_surroundings", "box", "box_attempt", "start"]
