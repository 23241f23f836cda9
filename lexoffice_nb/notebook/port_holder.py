"""Who listens at a port of this machine, in words: a person pastes an address only if they know who else gets it."""

from __future__ import annotations

import importlib
import itertools
import os
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from lexoffice_nb.texts import from_server, text

NAME_LIMIT = 60
_COMM_LIMIT = 15  # what Linux keeps of a process's name: TASK_COMM_LEN without its NUL
_MOST_NAMED = 3
# What a browser on this machine reaches under 127.0.0.1, [::1] or localhost.
_ADDRESSES = {"127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"}  # noqa: S104 - looked for
_LISTENS = "0A"  # TCP_LISTEN in Linux's include/net/tcp_states.h


class _Listener(NamedTuple):
    """One listening socket; what could not be learnt is None."""

    pid: int | None = None
    uid: int | None = None


def who_listens(port: int) -> str:
    """Names who listens at this TCP port on 127.0.0.1, ::1 or all addresses, in the person's language.

    Only names and numbers of processes, never their arguments, which may hold secrets. It never raises.

    Returns:
        Such as "python3 (process 1234)"; several are joined by commas. Empty if nobody listens.
    """
    try:
        listeners = _listeners(port)
        process_tools = _psutil()
        words = dict.fromkeys(_words(listener, process_tools) for listener in listeners)
    except Exception:  # noqa: BLE001 - processes end while one looks, and systems forbid looking in many ways
        return text("port_holder.program")
    return ", ".join(list(words)[:_MOST_NAMED])


def _psutil() -> Any:
    """Comes with ipykernel, but is no dependency of ours."""
    try:
        return importlib.import_module("psutil")
    except Exception:  # noqa: BLE001 - an installation that is broken raises anything
        return None


def _listeners(port: int) -> list[_Listener]:
    owners = _owners(port) if sys.platform == "linux" else None
    if owners == []:
        return []
    by_owner = [_Listener(uid=uid) for uid in owners or ()]
    by_process = _processes(_psutil(), port)
    if not by_process:
        return by_owner or ([_Listener()] if _answers(port) else [])
    if by_owner and any(listener.pid is None for listener in by_process):
        # psutil knows of a socket whose process cannot be seen; the kernel still says whose it is.
        seen = [listener for listener in by_process if listener.pid is not None]
        return seen + ([other for other in by_owner if other.uid != os.getuid()] or [_Listener()])
    return by_process


def _processes(process_tools: Any, port: int) -> list[_Listener]:
    """Asks psutil; empty where there is none or the system does not tell (macOS tells only root)."""
    try:
        return [
            _Listener(pid=found.pid)
            for found in process_tools.net_connections(kind="tcp")
            if found.status == process_tools.CONN_LISTEN and found.laddr.port == port and found.laddr.ip in _ADDRESSES
        ]
    except Exception:  # noqa: BLE001 - AccessDenied, and what a hardened /proc makes of it, or no psutil
        return []


def _owners(port: int) -> list[int] | None:
    """Reads the owners of the listening sockets from Linux's tables (man 5 proc); None if they cannot be read."""
    owners: list[int] = []
    read = False
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            lines = Path(f"/proc/net/{table}").read_text("utf-8").splitlines()[1:]
        except OSError:  # no IPv6 here, or a hardened /proc
            continue
        read = True
        for columns in map(str.split, lines):
            address, _, hexadecimal_port = columns[1].partition(":")
            if columns[3] == _LISTENS and int(hexadecimal_port, 16) == port and _ip(address, family) in _ADDRESSES:
                owners.append(int(columns[7]))
    return owners if read else None


def _ip(address: str, family: socket.AddressFamily) -> str:
    """Reads an address of these tables: words of four octets, each in the machine's own order."""
    octets = bytes.fromhex(address)
    if sys.byteorder == "little":
        octets = b"".join(octets[at : at + 4][::-1] for at in range(0, len(octets), 4))
    return socket.inet_ntop(family, octets)


def _answers(port: int) -> bool:
    """Tells whether a connection to this port is taken, where the system's tables cannot be read."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
                probe.settimeout(0.1)
                probe.connect((host, port))
        except TimeoutError:
            return True  # refused comes at once; this one lets wait
        except OSError:
            continue
        return True
    return False


def _words(listener: _Listener, process_tools: Any) -> str:
    if listener.pid is None:
        # In a container, 0 may stand for anybody; it is another user still.
        of_another = listener.uid is not None and listener.uid != os.getuid()
        return text("port_holder.other_user" if of_another else "port_holder.program")
    if listener.pid == os.getpid():
        return text("port_holder.this_notebook", number=listener.pid)
    try:
        process = process_tools.Process(listener.pid)
        if _is_kernel_of_mine(process, process_tools):
            return text("port_holder.own_notebook", number=listener.pid)
        name = process.name()
    except Exception:  # noqa: BLE001 - it has ended, or is not to be looked at
        return text("port_holder.program")
    if sys.platform == "linux":
        # psutil makes a longer name from the arguments; a program that sets its title may have put all of them there.
        name = name[:_COMM_LIMIT]
    name = from_server(name, NAME_LIMIT)
    return text("port_holder.process", name=name, number=listener.pid) if name else text("port_holder.program")


def _is_kernel_of_mine(process: Any, process_tools: Any) -> bool:
    """Tells whether it is a kernel, started by Jupyter as `python -m ipykernel_launcher`, of this very person."""
    try:
        arguments: list[str] = process.cmdline()
        mine: bool = process.username() == process_tools.Process().username()
    except Exception:  # noqa: BLE001 - then it is not known
        return False
    return mine and ("-m", "ipykernel_launcher") in itertools.pairwise(arguments[:4])
