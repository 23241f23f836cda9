"""The magics: thin command lines in front of `login()` and the session. Imports nothing heavy before it is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from traitlets import Bool, Enum, Int, List, Unicode

from lexoffice_nb.errors import LexofficeError
from lexoffice_nb.texts import LANGUAGES, text, use_language

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.session import LexofficeSession

DEFAULT_NAME = "lexoffice"
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
    store = Enum(("memory",), "memory", help="where tokens are kept").tag(config=True)

    @no_var_expand
    @magic_arguments()
    @argument(
        "name", nargs="?", default=DEFAULT_NAME, metavar="NAME", help="variable for the session (default: lexoffice)"
    )
    @argument("--provider", metavar="P", help="preset to sign in to: sandbox (default) or lexware")
    @argument(
        "--issuer", metavar="URL", help="any provider that describes itself (OpenID Connect discovery or RFC 8414)"
    )
    @argument(
        "--api-key", action="store_true", help="sign in with an API key, pasted into the card or in LEXOFFICE_API_KEY"
    )
    @argument("--client-id", metavar="ID", help="client registered at the provider")
    @argument("--redirect-uri", metavar="URI", help="redirect URI registered at the provider")
    @argument("--scope", nargs="+", metavar="S", help="scopes to ask for")
    @argument("--terminal", action="store_true", help="print the link instead of showing a card")
    @argument("--force", action="store_true", help="begin anew, and overwrite a variable of that name")
    @line_magic
    def lexoffice_login(self, line: str) -> None:
        """Sign in, and put an authenticated session into the notebook.

        A card appears: open the login page, sign in, allow. The card turns into a receipt by itself. Until then the
        session says "Nobody is signed in yet"; run the cell again afterwards. Running this cell again is harmless.

        Examples::

            %lexoffice_login                              # the sandbox on this machine
            %lexoffice_login --api-key --provider lexware # your own account, with an API key
            %lexoffice_login tax --scope openid profile invoice.read
        """
        arguments = parse_argstring(self.lexoffice_login, line)
        name = self._free_name(arguments.name, force=arguments.force)
        use_language(self.language)
        from lexoffice_nb.notebook.sign_in import login

        options: dict[str, Any] = {
            option: getattr(arguments, option) or getattr(self, option) or None for option in _OPTIONS
        }
        if arguments.provider:
            options["issuer"] = arguments.issuer  # an argument beats a configured issuer
        session = login(
            name,
            **options,
            scopes=arguments.scope or self.scopes,
            api_key=arguments.api_key,
            terminal=arguments.terminal,
            force=arguments.force,
            loopback=self.loopback,
            port=self.port,
            language=self.language,
        )
        self._shell.push({name: session}, interactive=True)

    @no_var_expand
    @magic_arguments()
    @line_magic
    def lexoffice_status(self, line: str) -> None:
        """Say who is signed in where, until when, and where the secret is kept."""
        parse_argstring(self.lexoffice_status, line)
        from IPython.display import display

        from lexoffice_nb.notebook import sign_in

        sessions = [session for session in self._sessions().values() if session.signed_in]
        for session in dict.fromkeys(sessions):
            display(session)
        for flow in sign_in.waiting_flows():
            _say(sign_in.waiting_text(flow))
        if not sessions and not sign_in.waiting_flows():
            _say(text("status.none"))

    @no_var_expand
    @magic_arguments()
    @argument(
        "name", nargs="?", default=DEFAULT_NAME, metavar="NAME", help="variable of the session (default: lexoffice)"
    )
    @line_magic
    def lexoffice_logout(self, line: str) -> None:
        """Sign out: revoke the tokens at the provider, forget them here, and drop the variable."""
        name = parse_argstring(self.lexoffice_logout, line).name
        session = self._sessions().get(name)
        if session is None:
            _say(text("status.none"))
            return
        from lexoffice_nb.notebook.sign_in import forget

        was_key = session.kind == "key"
        failures = session.logout()
        forget(session)
        self._drop(session)
        if failures:
            _say(text("logout.failed", what=failures[0].what()))
        else:
            _say(text("logout.done.key" if was_key else "logout.done", name=name))

    @property
    def _shell(self) -> InteractiveShell:
        if self.shell is None:
            raise UsageError("no shell")
        return self.shell

    def _free_name(self, name: str, *, force: bool) -> str:
        """Gives the name back if it is one, and free or ours: a variable of the person's is never overwritten."""
        if not name.isidentifier():
            raise LexofficeError("name_invalid")
        if not force and name in self._shell.user_ns and name not in self._sessions():
            raise LexofficeError("name_taken", name=name)
        return name

    def _sessions(self) -> dict[str, LexofficeSession]:
        """Gives the sessions among the person's variables. Without the module there can be none."""
        module = sys.modules.get("lexoffice_nb.session")
        if module is None:
            return {}
        kind = module.LexofficeSession
        return {n: v for n, v in self._shell.user_ns.items() if isinstance(v, kind) and not n.startswith("_")}

    def _drop(self, session: LexofficeSession) -> None:
        """Takes a session out of the notebook: its names, `Out`, and the `_` variables that IPython keeps."""
        names = self._shell.user_ns
        for name, value in list(names.items()):
            if value is session and not name.startswith("_"):
                self._shell.drop_by_id({name: session})
        outputs = names.get("Out", {})
        kept = {n for n, value in outputs.items() if _holds(value, session)}
        for number in kept:
            outputs.pop(number)
        for name in [n for n in names if n.startswith("_") and _holds(names[n], session)]:
            names[name] = ""
        hook = self._shell.displayhook
        for name in ("_", "__", "___"):
            if _holds(getattr(hook, name, None), session):
                setattr(hook, name, "")

    def leave(self) -> None:
        """Undoes everything: ends the sign-ins and takes the names that are still ours."""
        sessions = self._sessions()
        if "lexoffice_nb.notebook.sign_in" in sys.modules:
            from lexoffice_nb.notebook.sign_in import close_all

            close_all()
        for session in sessions.values():
            session.forget()
            self._drop(session)


def _holds(value: Any, session: LexofficeSession) -> bool:
    from lexoffice_nb.oauth.tokens import Secret, TokenSet

    return value is session or isinstance(value, (Secret, TokenSet))


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")


def load(shell: InteractiveShell) -> None:
    """Registers the magics; harmless if they are already."""
    if not any(isinstance(c, LexofficeMagics) for c in shell.configurables):
        shell.register_magics(LexofficeMagics)


def unload(shell: InteractiveShell) -> None:
    """Takes the magics away again, with all that they left behind."""
    for magics in [c for c in shell.configurables if isinstance(c, LexofficeMagics)]:
        magics.leave()
        shell.configurables.remove(magics)
        for kind, names in magics.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
    registry = shell.magics_manager.registry
    registry.pop(LexofficeMagics.__name__, None)
