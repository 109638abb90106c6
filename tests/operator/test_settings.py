"""The operator's settings: what is missing or makes no sense is named."""

import pytest

from c2d_operator.settings import SettingsError, read_settings

LEAST = {
    "C2D_LOADER_IMAGE": "loader:1",
    "C2D_PUBLISHER_IMAGE": "publisher:1",
    "C2D_NAMESPACES": "c2d-jobs",
}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (None, ""),
        ("", ""),
        ("http://c2d-provider.c2d-system", "http://c2d-provider.c2d-system"),
        ("https://provider.example.org:8443/c2d/", "https://provider.example.org:8443/c2d"),
        ("http://[fd00::1]:8030", "http://[fd00::1]:8030"),
    ],
)
def test_a_provider_may_be_named(given: str | None, url: str) -> None:
    environ = LEAST if given is None else {**LEAST, "C2D_PROVIDER_URL": given}
    assert read_settings(environ).provider_url == url


@pytest.mark.parametrize(
    "given",
    [
        "c2d-provider",
        "ftp://provider.example.org",
        "http://",
        "http://:80",
        "http://user:word@provider.example.org",
        "http://provider.example.org?key=word",
        "http://provider.example.org#part",
        "http://provider.example.org:0",
        "http://provider.example.org:port",
        "http://provider.example.org/a b",
        "http://provider.example.org/\n",
        "http://[fd00::1",
    ],
)
def test_an_address_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="C2D_PROVIDER_URL") as refused:
        read_settings({**LEAST, "C2D_PROVIDER_URL": given})
    assert "word" not in str(refused.value)


@pytest.mark.parametrize("kind", ["ipfs", "arweave"])
def test_gateways_may_be_named(kind: str) -> None:
    name = f"C2D_{kind.upper()}_GATEWAY"
    assert getattr(read_settings(LEAST), f"{kind}_gateway") == ""
    read = read_settings({**LEAST, name: "https://gateway.example.org:8080/"})
    assert getattr(read, f"{kind}_gateway") == "https://gateway.example.org:8080"
    with pytest.raises(SettingsError, match=name) as refused:
        read_settings({**LEAST, name: "https://gateway.example.org?key=word"})
    assert "word" not in str(refused.value)


@pytest.mark.parametrize("given", ["", "c2d-canary:8033", "10.96.0.7:8033", "[fd00::7]:1"])
def test_a_canary_may_be_named(given: str) -> None:
    assert read_settings({**LEAST, "C2D_CANARY": given}).canary == given


@pytest.mark.parametrize(
    "given", ["c2d-canary", ":8033", "c2d-canary:0", "c2d-canary:x", "fd00::7:1", "a b:1"]
)
def test_a_canary_has_a_host_and_a_port(given: str) -> None:
    with pytest.raises(SettingsError, match="C2D_CANARY"):
        read_settings({**LEAST, "C2D_CANARY": given})


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"C2D_WORKERS": "none", "C2D_PROVIDER_URL": "x", "C2D_LOG_FORMAT": "xml"})
    for name in (*LEAST, "C2D_WORKERS", "C2D_PROVIDER_URL", "C2D_LOG_FORMAT"):
        assert name in str(refused.value)
