"""The address of a server: where a session token may be sent."""

from ipaddress import ip_address

from yarl import URL


def base_address(text: str, *, allow_insecure: bool = False) -> URL:
    """Return the address under which the API is, without a slash at its end. Raise ValueError with what is wrong.

    Plain http is for this machine only: whoever stands between could read the token, and play in its owner's place.
    `allow_insecure` is for networks that are encrypted otherwise.
    """
    try:
        url = URL(text.strip())
    except ValueError:
        raise ValueError("the server's address is not a URL: write https://games.example.org") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the server's address must begin with https:// or http:// and name a host: {_shown(url)}")
    if url.user is not None or url.password is not None:
        raise ValueError("the server's address must not hold a name or password: sign in instead")
    if url.query_string or url.fragment:
        raise ValueError(f"the server's address must end with its path, without '?' and '#': {_shown(url)}")
    if url.scheme == "http" and not allow_insecure and not _is_loopback(url.host):
        raise ValueError(
            f"{_shown(url)} is not encrypted, so others could read the session token: use https://, or allow it where "
            "the network itself is encrypted (allow_insecure=True, --insecure)"
        )
    return URL(str(url.origin()) + url.raw_path.rstrip("/"), encoded=True)


def _shown(url: URL) -> str:
    """Return an address without what may be secret."""
    return str(url.with_user(None).with_query(None).with_fragment(None)) if url.host else "no host"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
