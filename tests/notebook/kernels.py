"""A real kernel, and the part of a front end that a test plays: cells, cards and an own ear at IOPub."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client import BlockingKernelClient, KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Message = dict[str, Any]


class Kernel:
    """One running kernel with one front end."""

    def __init__(self, homes: Mapping[str, str], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LEXOFFICE_", "LC_", "LANG"))}
        self.folder = Path(tempfile.mkdtemp(dir=homes["HOME"]))
        self.log = self.folder / "kernel.log"
        self.manager = KernelManager()
        with self.log.open("wb") as log:
            self.manager.start_kernel(
                extra_arguments=list(arguments),
                env={**inherited, **homes, **environment},
                cwd=str(self.folder),
                stdout=log,
                stderr=log,
            )
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.heard: list[Message] = []  # all that came on IOPub

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def ear(self) -> BlockingKernelClient:
        """Another client, that only listens."""
        client = BlockingKernelClient(connection_file=self.manager.connection_file)
        client.load_connection_file()
        client.start_channels(shell=False, stdin=False, hb=False, control=False)
        time.sleep(0.2)  # a subscription takes a moment
        return client

    def hear(self, until: Callable[[Message], object], seconds: float = 20) -> Message:
        """Gives the first message from now on that is as wanted."""
        end = time.monotonic() + seconds
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.01, end - time.monotonic()))
            self.heard.append(message)
            if until(message):
                return message

    def ask(self, code: str, *, allow_stdin: bool = True) -> str:
        """Runs a cell without waiting for it."""
        return self.client.execute(code, allow_stdin=allow_stdin)

    def end_of(self, request: str, seconds: float = 30) -> list[Message]:
        """Gives the messages of a cell that was asked for, at its end."""

        def of_it(message: Message) -> bool:
            return message["parent_header"].get("msg_id") == request

        begin = len(self.heard)
        self.hear(lambda m: of_it(m) and m["content"].get("execution_state") == "idle", seconds)
        return [message for message in self.heard[begin:] if of_it(message)]

    def run(self, code: str, *, allow_stdin: bool = True) -> str:
        """Runs a cell; gives its printed text, its value, and its error, as plain text."""
        shown = []
        for message in self.end_of(self.ask(code, allow_stdin=allow_stdin)):
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data"):
                shown.append(content["data"].get("text/plain", ""))
            elif message["msg_type"] == "error":
                shown.append("\n".join(content["traceback"]))
        return "".join(shown)

    def sign_in(self, line: str = "%lexoffice_login") -> Card:
        """Runs a login cell, and gives its card."""
        begin = len(self.heard)
        said = self.run(f"%load_ext lexoffice_nb\n{line}")
        opened = [m["content"] for m in self.heard[begin:] if m["msg_type"] == "comm_open"]
        cards = [c for c in opened if "_esm" in c["data"]["state"]]
        assert cards, said
        return Card(self, cards[0]["comm_id"])


class Card:
    """The view of one card, as the notebook's JavaScript is it."""

    def __init__(self, kernel: Kernel, comm_id: str) -> None:
        self.kernel = kernel
        self.comm_id = comm_id

    def send(self, data: object) -> str:
        """Sends a message to the widget; gives the message's id."""
        session = self.kernel.client.session
        message = session.msg("comm_msg", {"comm_id": self.comm_id, "data": data})
        self.kernel.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def say(self, content: object) -> str:
        """Sends a custom message, as `model.send` does."""
        return self.send({"method": "custom", "content": content})

    def hello(self, language: str = "en-US") -> dict[str, Any]:
        """Asks for the card as it stands."""
        asked = self.say({"kind": "hello", "lang": language})
        return self._card(lambda message, _: message["parent_header"].get("msg_id") == asked, 20)

    def when(self, wanted: Callable[[dict[str, Any]], object], seconds: float = 20) -> dict[str, Any]:
        """Gives the next card that is as wanted."""
        return self._card(lambda _, card: wanted(card), seconds)

    def _card(self, wanted: Callable[[Message, dict[str, Any]], object], seconds: float) -> dict[str, Any]:
        def card_of(message: Message) -> dict[str, Any]:
            if message["msg_type"] != "comm_msg" or message["content"]["comm_id"] != self.comm_id:
                return {}
            return message["content"]["data"].get("content") or {}

        def is_wanted(message: Message) -> object:
            card = card_of(message)
            return card.get("kind") == "card" and wanted(message, card)

        return card_of(self.kernel.hear(is_wanted, seconds))

    def state(self, *states: str) -> dict[str, Any]:
        """Gives the card as soon as it is in one of these states: now, or when it gets there."""
        card = self.hello()
        return card if card["state"] in states else self.when(lambda c: c["state"] in states)

    def link(self) -> str:
        return str(self.state("waiting", "failed")["link"]["href"])
