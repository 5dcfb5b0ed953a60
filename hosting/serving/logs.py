"""What the web server writes down: never what follows a path, nor what somebody sent wrongly."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

_WITH_TOKENS = "/account/"
_FAILED = "Error handling request %s %s"


class WithoutQueries(Logger):
    """Logs paths without what follows them: searches in people's mail, and secrets sent by mistake.

    `tls/allowed` is asked with a secret of ours in its query, each time a name is called.
    """

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """What a line of the log can be made of."""
        found: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        found["r"] = f"{environ['REQUEST_METHOD']} {_path(environ['RAW_URI'])} "
        found["r"] += environ["SERVER_PROTOCOL"]
        found["f"] = found["f"].partition("?")[0]
        return found

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Of a request that cannot be read, from where it came, but nothing of what it was.

        A header that lacks its colon may be the one with the key in it.
        """
        text = str(msg)
        if text.startswith("Invalid request from ip="):
            msg = text.partition(": ")[0] + ": it cannot be read"
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """A failure with the path that it happened at."""
        if msg == _FAILED:
            args = (args[0], _path(str(args[1])))
        super().exception(msg, *args, **kwargs)


def _path(uri: str) -> str:
    path, mark, _query = uri.partition("?")
    if path.startswith(_WITH_TOKENS):
        # What stands behind the name of the page is the token of a letter.
        path = "/".join([*path.split("/")[:3], "…"][: path.count("/") + 1])
    return f"{path}{mark}"
