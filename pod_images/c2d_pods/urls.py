"""Which URLs and headers of a stranger a request may be made of; names and texts only.

What a host's name leads to is judged when it is connected to, in `transfer`.
"""

from yarl import URL

from c2d_api.asset_request import FileRequest
from c2d_pods.content import PermanentError

OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "if-range",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def checked_url(text: str) -> URL:
    """Read a URL as it stands, signed ones included, if it is one that may be fetched.

    Raises:
        PermanentError: It is no plain http or https URL.
    """
    if any(character <= " " or character == "\x7f" for character in text):
        raise PermanentError("the URL is not valid")
    try:
        url = URL(text, encoded=text.isascii())
        plain = url.scheme in {"http", "https"} and bool(url.host) and bool(url.port)
        credentials = url.user is not None or url.password is not None
    except ValueError:
        raise PermanentError("the URL is not valid") from None
    if not plain:
        raise PermanentError("the URL is not one of http or https")
    if credentials:
        raise PermanentError("the URL holds a user or a password")
    return url


def redirect_target(url: URL, location: str) -> URL:
    """Find where a redirect leads.

    Raises:
        PermanentError: It leads nowhere, or where nothing may be fetched.
    """
    if not location:
        raise PermanentError("the server redirects to nowhere")
    try:
        return checked_url(str(url.join(URL(location, encoded=location.isascii()))))
    except ValueError:
        raise PermanentError("the server redirects to a URL that is not valid") from None


def own_headers(request: FileRequest) -> dict[str, str]:
    """List the headers that a request brings, but for those that steer the connection.

    Raises:
        PermanentError: One of them is not its to bring.
    """
    for name, _ in request.headers:
        if name.lower() in OURS:
            raise PermanentError(f"the header {name} cannot be set")
    return dict(request.headers)
