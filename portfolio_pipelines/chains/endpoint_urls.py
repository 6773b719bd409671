"""URLs of nodes as people write them: the ${NAME} in them, and what cannot be one.

Belongs here: from the text of a file to a URL. What of a URL may be shown is in `rpc.endpoints`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from portfolio_pipelines.chains.rpc.endpoints import Address, names_of

_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class EndpointUrlError(ValueError):
    """A text cannot become the URL of a node. The message never repeats the text: a key may be in it."""


def resolve_url(text: str, environment: Mapping[str, str]) -> str:
    """The URL with every ${NAME} replaced by its value.

    Raises:
        EndpointUrlError: If a name is none or has no value in `environment`, or the result is no URL of a node.
    """
    for name in _PLACEHOLDER.findall(text):
        if not _NAME.fullmatch(name):
            msg = "within ${…} stands no name of an environment variable"
            raise EndpointUrlError(msg)
        if not environment.get(name, "").strip():
            msg = f"the environment variable {name} is not set"
            raise EndpointUrlError(msg)
    url = _PLACEHOLDER.sub(lambda match: environment[match[1]].strip(), text)
    _check(url)
    return url


def check_unresolved_url(text: str) -> None:
    """Refuse what can become no URL whatever the placeholders stand for.

    Raises:
        EndpointUrlError: If it is no URL with some word in the place of each placeholder.
    """
    if not _PLACEHOLDER.match(text):  # else a placeholder stands for the beginning, host included
        _check(_PLACEHOLDER.sub("placeholder", text))


def shown_names(urls: Sequence[str]) -> tuple[str, ...]:
    """What of URLs may be shown, in their order; a ${NAME} that stands for a whole URL shows itself."""
    named = iter(names_of([Address(url) for url in urls if not _PLACEHOLDER.match(url)]))
    return tuple(begins[0] if (begins := _PLACEHOLDER.match(url)) else next(named) for url in urls)


def _check(url: str) -> None:
    if any(letter.isspace() for letter in url):
        msg = "a URL has no blanks"
        raise EndpointUrlError(msg)
    scheme = url.partition("://")[0].lower()
    if scheme in ("ws", "wss"):
        msg = "a websocket is not used for reading: give the http(s) URL"
        raise EndpointUrlError(msg)
    try:
        Address(url)
    except ValueError:
        msg = "a URL of a node is http:// or https:// and a host"
        raise EndpointUrlError(msg) from None
