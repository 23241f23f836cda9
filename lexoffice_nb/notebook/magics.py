"""The magics: thin command lines in front of `login()` and the session. Imports nothing heavy before it is used."""

from __future__ import annotations

import builtins
import importlib
import keyword
import re
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Bool, Enum, Int, List, Unicode, observe

from lexoffice_nb.errors import LexofficeError
from lexoffice_nb.notebook import completion
from lexoffice_nb.notebook.command_line import looks_secret, read_line, readable
from lexoffice_nb.notebook.progress_line import ProgressLine
from lexoffice_nb.notebook.sync_card import SyncCards
from lexoffice_nb.texts import LANGUAGES, text, use_language

if TYPE_CHECKING:
    from argparse import Namespace

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.books.report import Report
    from lexoffice_nb.session import LexofficeSession

_SETTINGS = """\
settings:
  What the line does not say comes from %config LexofficeMagics, then from the
  environment. %config LexofficeMagics alone lists all of it: provider, issuer,
  client_id, redirect_uri, scopes, loopback, port, language. For example:
    %config LexofficeMagics.loopback = False
  Environment: LEXOFFICE_PROVIDER, LEXOFFICE_CLIENT_ID, LEXOFFICE_REDIRECT_URI;
  for secrets, which belong into no cell, LEXOFFICE_API_KEY and
  LEXOFFICE_CLIENT_SECRET (both for the provider that LEXOFFICE_PROVIDER names,
  or for one of the package where it is not set); where nobody is there to sign in to the sandbox,
  LEXOFFICE_SANDBOX_PERSON=demo."""
_OPTIONS = ("provider", "issuer", "client_id", "redirect_uri")


@magics_class
class LexofficeMagics(Magics):
    """Sign in to a financial API, see as whom, and sign out.

    Each setting is taken from the first place that has it: argument, `%config LexofficeMagics`,
    `ipython_config.py`, environment variable, default.
    """

    provider = Unicode("", help="preset to sign in to; environment: LEXOFFICE_PROVIDER; default: sandbox").tag(
        config=True
    )
    issuer = Unicode("", help="address of a provider that describes itself (discovery)").tag(config=True)
    client_id = Unicode("", help="client registered there; environment: LEXOFFICE_CLIENT_ID").tag(config=True)
    redirect_uri = Unicode("", help="redirect URI registered there; environment: LEXOFFICE_REDIRECT_URI").tag(
        config=True
    )
    scopes = List(Unicode(), help="scopes to ask for instead of the provider's own choice").tag(config=True)
    loopback = Bool(True, help="catch the callback on this machine; else it is pasted").tag(config=True)
    port = Int(0, min=0, max=65535, help="port to catch the callback on; 0: a free one").tag(config=True)
    language = Enum(("auto", *LANGUAGES), "auto", help="language of card and messages; auto: the browser's").tag(
        config=True
    )
    store = Enum(
        ("memory", "file", "keyring"), "memory", help="where a sign-in is remembered; here it only sets the card's tick"
    ).tag(config=True)

    @observe("language")
    def _speak(self, change: dict[str, Any]) -> None:
        use_language(change["new"])

    @no_var_expand
    @readable(_SETTINGS)
    @magic_arguments()
    @argument(
        "name",
        nargs="?",
        default=completion.DEFAULT_NAME,
        metavar="NAME",
        help="variable for the session (default: lexoffice)",
    )
    @argument(
        "--provider", metavar="P", help="preset to sign in to: sandbox (default), lexware, paper, or one of your own"
    )
    @argument(
        "--issuer", metavar="URL", help="any provider that describes itself (OpenID Connect discovery or RFC 8414)"
    )
    @argument(
        "--api-key", action="store_true", help="sign in with an API key, pasted into the card or in LEXOFFICE_API_KEY"
    )
    @argument("--client-id", metavar="ID", help="client registered at the provider")
    @argument("--redirect-uri", metavar="URI", help="redirect URI registered at the provider")
    @argument("--scope", nargs="+", metavar="S", help="scopes to ask for; NAME comes before this option, not after it")
    @argument("--profile", metavar="P", help="name of the account, beside others at the same provider")
    @argument("--terminal", action="store_true", help="print the link instead of showing a card")
    @argument("--force", action="store_true", help="begin anew: sign out the former session, overwrite a variable")
    @line_magic
    def lexoffice_login(self, line: str) -> None:
        """Sign in, and put an authenticated session into the notebook.

        In a notebook a card appears: open the login page, sign in, allow. Come back here afterwards; the card changes
        by itself. Until then a cell that uses the session stops with "Nobody is signed in yet"; run it again
        afterwards. In a terminal the link is printed, and the line ends when somebody is signed in. Running this again
        is harmless.

        Examples::

            %lexoffice_login                              # the sandbox on this machine
            %lexoffice_login --api-key --provider lexware # your own account, with an API key
            %lexoffice_login tax --scope openid profile invoice.read
        """
        arguments = read_line(self.lexoffice_login, line)
        if arguments.provider and arguments.issuer:
            raise UsageError(text("usage.provider_or_issuer"))
        if arguments.issuer and not re.search("[.]|://", arguments.issuer) and looks_secret(arguments.issuer):
            raise LexofficeError("secret_in_cell")
        name = self._free_name(arguments.name, arguments)
        from lexoffice_nb.notebook.sign_in import login
        from lexoffice_nb.notebook.sign_in_request import refuse_unless_explicit

        options: dict[str, Any] = {"store": self.store} | {
            option: getattr(arguments, option) or getattr(self, option) or None for option in _OPTIONS
        }
        if arguments.provider:
            options["issuer"] = None  # an argument beats a configured issuer
        elif not arguments.issuer:
            refuse_unless_explicit(self.provider)
        session = login(
            name,
            **options,
            scopes=[scope for given in arguments.scope or self.scopes for scope in given.split(",") if scope],
            api_key=arguments.api_key,
            terminal=arguments.terminal,
            force=arguments.force,
            loopback=self.loopback,
            port=self.port,
            language=self.language,
            profile="default" if arguments.profile is None else arguments.profile,
            tick=True,
        )
        self._shell.push({name: session}, interactive=True)

    @no_var_expand
    @readable()
    @magic_arguments()
    @line_magic
    def lexoffice_status(self, line: str) -> None:
        """Say who is signed in where, until when, and where the secret is kept."""
        read_line(self.lexoffice_status, line)
        from IPython.display import display

        from lexoffice_nb.notebook import sign_in

        signed_in: dict[LexofficeSession, list[str]] = {}
        for name, session in [*sign_in.signed_in_sessions().items(), *self._sessions().items()]:
            if session.signed_in and name not in signed_in.setdefault(session, []):
                signed_in[session].append(name)
        waiting = sign_in.waiting_texts()
        for session, names in signed_in.items():
            _say(", ".join(names))
            display(session)
            self._say_where_it_is_kept(session)
        kept = sign_in.kept_texts()
        for words in (*waiting, *kept):
            _say(words)
        if not signed_in and not waiting and not kept:
            _say(text("status.none"))

    @no_var_expand
    @readable()
    @magic_arguments()
    @argument(
        "name",
        nargs="?",
        default=completion.DEFAULT_NAME,
        metavar="NAME",
        help="variable of the session (default: lexoffice)",
    )
    @argument("--profile", metavar="P", help="account that is remembered on this machine, instead of a variable")
    @line_magic
    def lexoffice_logout(self, line: str) -> None:
        """Sign out: revoke the tokens at the provider, forget them here and where they were kept, drop the variable."""
        arguments = read_line(self.lexoffice_logout, line)
        name = arguments.name
        from lexoffice_nb.notebook import sign_in

        if arguments.profile is not None:
            for words in sign_in.sign_out_profile(arguments.profile):
                _say(words)
            return
        session = sign_in.session_named(name) or self._sessions().get(name)
        if session is None:
            others = self._names_in_use()
            words = text("logout.others", name=_shown(name), names=", ".join(others)) if others else text("status.none")
            _say(words)
            return
        was_key, was_signed_in = session.kind == "key", session.signed_in
        failures = session.logout()
        sign_in.forget(session)
        self._drop(name, session)
        if failures:
            _say(text("logout.failed", what=failures[0].what()))
        elif not was_signed_in:
            _say(text("logout.waiting", name=name))
        else:
            _say(text("logout.done.key" if was_key else "logout.done", name=name))
        if was_signed_in and (url := session.end_session_url):
            _show_link(url)

    @no_var_expand
    @readable()
    @magic_arguments()
    @argument("name", nargs="?", metavar="NAME", help="variable for the result, beside _")
    @argument(
        "--session",
        default=completion.DEFAULT_NAME,
        metavar="S",
        help="variable of the session whose books are asked (default: lexoffice)",
    )
    @line_cell_magic
    def lexoffice_sql(self, line: str, cell: str = "") -> Report:
        """Ask the books on this machine in SQL, and show the answer as a table.

        One SELECT over the tables of the books; %lexoffice_sql alone lists them. DuckDB runs it: nothing is written,
        and nothing but the books is read. $name stands for the value of a variable. Sums of money are exact; a division
        or avg() is not, and the answer says so. The first 50 rows are shown, 100 000 at most are fetched.

        Examples::

            %%lexoffice_sql big --session lexoffice
            SELECT contact_name, sum(total_amount) FROM vouchers
            WHERE voucher_date >= $since GROUP BY ALL ORDER BY 2 DESC
        """
        arguments = read_line(self.lexoffice_sql, line)
        from lexoffice_nb.notebook.sql_magic import run_cell

        return run_cell(self._shell, arguments.name, arguments.session, cell, self._results)

    @no_var_expand
    @readable()
    @magic_arguments()
    @line_magic
    def lexoffice_workshop(self, line: str) -> None:
        """Open the lesson: a real sign-in at the sandbox in ten steps, with predictions, diagram and attacker.

        It needs no account and no internet. `workshop` is put into the notebook as well, with ten exercises in which
        you are the attacker: workshop.exercise(1). Running this again shows the same lesson where it stands.
        """
        read_line(self.lexoffice_workshop, line)
        if not self._is_workshop(self._shell.user_ns.get("workshop")):
            raise LexofficeError("name_taken", name="workshop")
        use_language(self.language)
        # The workshop lies above this module: it is found by its name, when somebody asks for it.
        workshop = importlib.import_module("lexoffice_nb.workshop")
        importlib.import_module("lexoffice_nb.workshop.lesson_widget").show_lesson(self._shell, self.language)
        self._shell.push({"workshop": workshop}, interactive=True)

    @staticmethod
    def _is_workshop(value: object) -> bool:
        return value is None or value is sys.modules.get("lexoffice_nb.workshop")

    @property
    def _results(self) -> dict[str, object]:
        """What %%lexoffice_sql has put into variables, by name."""
        results: dict[str, object] = self.__dict__.setdefault("_sql_results", {})
        return results

    def _say_where_it_is_kept(self, session: LexofficeSession) -> None:
        """Says it in a terminal, where a session is one line; in a notebook it is a row of the receipt."""
        if getattr(self._shell, "kernel", None) is None:
            labels = [text(f"receipt.{row}") for row in ("profile", "kept", "remembered")]
            for row in session.receipt().rows():
                if row.label in labels:
                    _say(f"{row.label}: {row.value}")

    def _names_in_use(self) -> list[str]:
        """Gives the names of what is signed in or waits."""
        from lexoffice_nb.notebook import sign_in

        mine = [name for name, session in self._sessions().items() if session.signed_in]
        return list(dict.fromkeys([*sign_in.names_in_use(), *mine]))

    @property
    def _shell(self) -> InteractiveShell:
        if self.shell is None:
            raise UsageError("no shell")
        return self.shell

    def _free_name(self, name: str, arguments: Namespace) -> str:
        """Gives the name back if it is one, and free or ours: a variable of the person's is never overwritten."""
        usable = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
        if looks_secret(name) or (arguments.api_key and not usable):
            raise LexofficeError("secret_in_cell")
        if not usable:
            raise LexofficeError("name_invalid")
        if hasattr(builtins, name):
            raise LexofficeError("name_builtin", name=name)
        if not arguments.force and name in self._shell.user_ns and not self._is_ours(name):
            raise LexofficeError("name_taken", name=name)
        return name

    def _is_ours(self, name: str) -> bool:
        """Whether a variable still is the session that this extension put there."""
        sign_in = sys.modules.get("lexoffice_nb.notebook.sign_in")
        session = sign_in.session_named(name) if sign_in else None
        return session is not None and self._shell.user_ns.get(name) is session

    def _sessions(self) -> dict[str, LexofficeSession]:
        """Gives the sessions among the person's variables. Without the module there can be none."""
        module = sys.modules.get("lexoffice_nb.session")
        if module is None:
            return {}
        kind = module.LexofficeSession
        return {n: v for n, v in self._shell.user_ns.items() if isinstance(v, kind) and not n.startswith("_")}

    def _drop(self, name: str, session: LexofficeSession) -> None:
        """Takes a session out of the notebook: its name if that still is it, `Out`, and the `_` variables."""
        shell = self._shell
        shell.drop_by_id({name: session})
        outputs = shell.user_ns.get("Out", {})
        for number in [n for n, value in outputs.items() if _holds(value, session)]:
            del outputs[number]
        # IPython keeps each output twice more: among the variables, and among those that it does not list.
        for names in (shell.user_ns, shell.user_ns_hidden):
            for kept in [n for n in names if re.fullmatch(r"_\d+", n) and _holds(names[n], session)]:
                del names[kept]
            for kept in ("_", "__", "___"):
                if _holds(names.get(kept), session):
                    names[kept] = ""
        for kept in ("_", "__", "___"):
            if _holds(getattr(shell.displayhook, kept, None), session):
                setattr(shell.displayhook, kept, "")

    def leave(self) -> None:
        """Undoes everything: ends the sign-ins and takes the names that are still ours."""
        sign_in = sys.modules.get("lexoffice_nb.notebook.sign_in")
        if sign_in is not None:
            named = {name: sign_in.session_named(name) for name in sign_in.names()}
            sign_in.close_all()
            for name, session in named.items():
                self._drop(name, session)
        lesson = sys.modules.get("lexoffice_nb.workshop.lesson_widget")
        if lesson is not None:
            lesson.close_lesson()
        use_language(None)


def _holds(value: Any, session: LexofficeSession, depth: int = 2) -> bool:
    """Whether a value is the session or something secret, or a collection with such a thing in it."""
    from lexoffice_nb.oauth.tokens import Secret, TokenSet

    if value is session or isinstance(value, (Secret, TokenSet)):
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    return depth > 0 and any(_holds(part, session, depth - 1) for part in parts)


def _shown(name: str) -> str:
    """Gives a name as it may be repeated: what was typed by mistake may be a key."""
    return name if name.isidentifier() and not looks_secret(name) else "…"


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")


def _show_link(url: str) -> None:
    """Says where the browser is signed in still: a link in a notebook, a line in a terminal."""
    from html import escape

    from IPython.display import display

    from lexoffice_nb.oauth.transport import Origin

    words = text("logout.browser", host=str(Origin.of(url)).split("://", 1)[-1])
    link = f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(url)}</a>'
    display({"text/plain": f"{words} {url}", "text/html": f"<p>{escape(words)} {link}</p>"}, raw=True)


def load(shell: InteractiveShell) -> None:
    """Registers the magics; harmless if they are already."""
    if not any(isinstance(c, LexofficeMagics) for c in shell.configurables):
        shell.register_magics(LexofficeMagics)
        completion.register(shell, LexofficeMagics)
        ProgressLine.of(shell).open()
        SyncCards.of(shell).open()


def unload(shell: InteractiveShell) -> None:
    """Takes the magics away again, with all that they left behind."""
    for magics in [c for c in shell.configurables if isinstance(c, LexofficeMagics)]:
        magics.leave()
        completion.unregister(shell)
        SyncCards.of(shell).close()
        ProgressLine.of(shell).close()
        shell.configurables.remove(magics)
        for kind, functions in magics.magics.items():
            registered = shell.magics_manager.magics[kind]
            for name, function in functions.items():
                if registered.get(name) == function:
                    del registered[name]
    shell.magics_manager.registry.pop(LexofficeMagics.__name__, None)
