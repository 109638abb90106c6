"""The provider's application: limits, errors, browsers, probes, and what it tells of itself."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c2d_api.asset_request import AssetRequest, decode_denied
from c2d_provider.app import Manner, add_routes, internal_app, metrics_app, own_routes
from c2d_provider.limiter import Limiter
from c2d_provider.serving import Patience, listening
from c2d_provider.telemetry import JsonLines
from c2d_provider.wire import v2
from c2d_provider.wire.exchange import Limits
from c2d_provider.wire.middlewares import Clients
from chain_facts import CONSUMER
from provider_fakes import DATASET_ORDER, World, dataset, market, signed, start_body, until

Client = TestClient[Any, Any]
SERVICES = "/v2/api/services"


@pytest.fixture
def world() -> World:
    return market()


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with TestClient(TestServer(world.app())) as found:
        yield found


async def test_the_root_names_endpoints_that_answer(client: Client, world: World) -> None:
    for path in ("/", "/v2", "/v2/"):
        async with client.get(path) as response:
            body = await response.json()
        assert body["providerAddresses"] == {"8996": world.who.address}
        prefix = "" if path == "/" else "/v2"
        for method, endpoint in body["serviceEndpoints"].values():
            async with client.request(method, f"{prefix}{endpoint}") as response:
                assert response.status not in (404, 405), endpoint
    async with client.get("/") as response:
        assert (await response.json())["providerAddress"] == world.who.address


async def test_a_path_with_a_slash_too_many_is_the_same_route(client: Client) -> None:
    async with client.get(f"/v2/{SERVICES[3:]}/nonce", params={"userAddress": CONSUMER}) as found:
        assert (found.status, await found.json()) == (200, {"nonce": "0"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("HEAD", f"{SERVICES}/nonce", 405),
        ("PATCH", f"{SERVICES}/compute", 405),
        ("GET", f"{SERVICES}/encrypt", 405),
    ],
)
async def test_what_is_no_route_is_answered_in_json(
    client: Client, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert response.content_type == "application/json"
        if method != "HEAD":
            assert set(await response.json()) == {"error"}


async def test_browsers_of_every_origin_may_ask(client: Client) -> None:
    headers = {
        "Origin": "https://market.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authtoken",
    }
    async with client.options(f"{SERVICES}/compute", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "DELETE" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Allow-Headers"] == "content-type,authtoken"
        assert "Access-Control-Allow-Credentials" not in response.headers
    async with client.get("/nowhere") as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_client_that_asks_too_often_has_to_wait(world: World) -> None:
    clients = Clients(Limiter(rate=0.5, burst=3))
    async with TestClient(TestServer(world.app(clients=clients))) as client:
        found = [await status_of(client, "/v2") for _ in range(5)]
        assert found == [(200, None)] * 3 + [(429, "2")] * 2
        assert await status_of(client, "/healthz") == (200, None)


async def status_of(client: Client, path: str, **headers: str) -> tuple[int, str | None]:
    async with client.get(path, headers=headers) as response:
        return response.status, response.headers.get("Retry-After")


async def test_what_a_client_says_of_its_address_counts_for_nothing(world: World) -> None:
    clients = Clients(Limiter(rate=0.5, burst=1))
    async with TestClient(TestServer(world.app(clients=clients))) as client:
        found = [
            await status_of(client, "/v2", **{"X-Forwarded-For": f"192.0.2.{n}"}) for n in (1, 2)
        ]
    assert [status for status, _ in found] == [200, 429]


@pytest.mark.parametrize(
    "path", [f"{SERVICES}/compute", f"{SERVICES}/initializeCompute", f"{SERVICES}/fileinfo"]
)
@pytest.mark.parametrize("is_told", [True, False], ids=["with its length", "without"])
async def test_a_body_that_is_too_large_is_not_read(world: World, path: str, is_told: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    app = world.app(limits=Limits(body_bytes=100_000))
    async with TestClient(TestServer(app)) as client:
        data: Any = b" " * 100_001 if is_told else pieces()
        async with client.post(path, data=data) as response:
            assert response.status == 413
            assert await response.json() == {"error": "The body is too large."}


async def test_documents_to_encrypt_may_be_larger(world: World) -> None:
    app = world.app(limits=Limits(body_bytes=1000))
    headers = {"Content-Type": "application/octet-stream"}
    async with TestClient(TestServer(app)) as client:
        url = f"{SERVICES}/encrypt?chainId=8996"
        async with client.post(url, data=b"x" * 100_000, headers=headers) as response:
            assert response.status == 201
            assert (await response.text()).startswith("0x04")
        async with client.post(
            url, data=io.BytesIO(b"x" * (8 * 2**20 + 1)), headers=headers
        ) as response:
            assert response.status == 413


async def test_a_body_that_trickles_is_given_up(world: World) -> None:
    app = world.app(limits=Limits(body_seconds=0.1))
    head = f"POST {SERVICES}/compute HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{"
    async with listening(app, "127.0.0.1", 0, Patience(lingering=0.1)) as port:
        answer = await all_that_comes(port, head.encode())
    assert answer.split()[1] == b"408"
    assert b"did not come in time" in answer


async def test_a_request_whose_head_trickles_is_given_up(world: World) -> None:
    async with listening(world.app(), "127.0.0.1", 0, Patience(idle=0.1)) as port:
        assert await all_that_comes(port, b"GET / HTTP/1.1\r\nHost: ") == b""


async def all_that_comes(port: int, sent: bytes) -> bytes:
    """Send something and read until the connection ends, which must be soon."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(3):
            return await reader.read()
    finally:
        writer.close()


async def test_an_answer_that_takes_too_long_is_given_up(world: World) -> None:
    world.cluster.gate = asyncio.Event()
    app = world.app(limits=Limits(answer_seconds=0.05))
    async with TestClient(TestServer(app)) as client:
        async with client.post(f"{SERVICES}/compute", json=start_body(world)) as response:
            assert response.status == 503
            assert await response.json() == {"error": "The request took too long."}
        world.cluster.gate.set()


async def test_no_error_tells_what_is_inside(
    client: Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.assets.is_broken = True
    body = {"did": dataset()["id"], "serviceId": "access"}
    async with client.post(f"{SERVICES}/fileinfo", json=body) as response:
        assert response.status == 500
        answer = await response.text()
        assert response.headers["X-Request-Id"] in answer
    told = answer + "".join(JsonLines().format(record) for record in caplog.records)
    assert "RuntimeError" in told
    assert "RuntimeError" not in answer
    for secret in ("s3cr3t", "owner.example", "Traceback"):
        assert secret not in told


async def test_what_is_down_is_told_as_such(client: Client, world: World) -> None:
    world.chains.is_down = True
    async with client.post(f"{SERVICES}/compute", json=start_body(world)) as response:
        assert response.status == 503
        assert await response.json() == {"error": "the chain does not answer"}
    assert world.cluster.shards == {}


async def test_the_log_of_requests_has_nothing_that_a_client_sent(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    did = dataset()["id"]
    query = {"consumerAddress": CONSUMER, "nonce": "7", "signature": signed("x")}
    async with client.get(f"{SERVICES}/computeResult", params=query):
        pass
    async with client.get(f"/v2/api/aquarius/assets/ddo/{did}"):
        pass
    async with client.get("/nowhere/s3cr3t"):
        pass
    lines = [
        json.loads(JsonLines().format(record))
        for record in caplog.records
        if record.name == "c2d_provider.access"
    ]
    assert [(line["route"], line["status"]) for line in lines] == [
        (f"{SERVICES}/computeResult", 400),
        ("/v2/api/aquarius/assets/ddo/{did}", 200),
        ("unmatched", 404),
    ]
    text = json.dumps(lines)
    for sent in (CONSUMER, query["signature"], did, "s3cr3t"):
        assert sent not in text


async def test_probes_tell_health_and_readiness(world: World) -> None:
    ready = [False]
    async with TestClient(TestServer(world.app(is_ready=lambda: ready[0]))) as client:
        assert (await status_of(client, "/healthz"))[0] == 200
        assert (await status_of(client, "/readyz"))[0] == 503
        ready[0] = True
        assert (await status_of(client, "/readyz"))[0] == 200


async def test_requests_are_counted_for_prometheus(world: World) -> None:
    manner = Manner()
    async with (
        TestClient(TestServer(world.app(metrics=manner.metrics))) as client,
        TestClient(TestServer(metrics_app(manner.metrics))) as prometheus,
    ):
        await status_of(client, "/v2")
        async with prometheus.get("/metrics") as response:
            text = await response.text()
        assert await status_of(client, "/metrics") == (404, None)
    assert 'c2d_provider_requests_total{method="GET",route="/v2",status="200"} 1.0' in text


async def test_a_request_in_flight_is_answered_before_the_end(world: World) -> None:
    world.cluster.gate = asyncio.Event()
    body = json.dumps(start_body(world))
    head = f"POST {SERVICES}/compute HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(listening(world.app(), "127.0.0.1", 0, Patience()))
        asking = asyncio.create_task(all_that_comes(port, f"{head}{body}".encode()))
        await until(lambda: bool(world.cluster.shards))
        ending = asyncio.create_task(stack.aclose())
        await until(lambda: not is_listening(port))
        world.cluster.gate.set()
        assert (await asking).split()[1] == b"200"
        await ending
    assert len(world.cluster.jobs_) == 1


def is_listening(port: int) -> bool:
    """Say whether somebody listens; asking makes no connection that counts."""
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


MINE = AssetRequest("jobs", "mine", 0).encode()


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        ("Bearer loader", MINE, 404),  # there is no such job
        ("Bearer loader", b"[" * 4000, 403),
        ("Bearer loader", b"\xff", 403),
        ("Bearer loader", b" " * 5000, 413),
        ("Bearer other", MINE, 401),
        ("Bearer down", MINE, 503),
        ("loader", MINE, 401),
        ("", MINE, 401),
    ],
)
async def test_loaders_ask_on_a_port_of_their_own(
    world: World, token: str, body: bytes, status: int
) -> None:
    async with TestClient(TestServer(internal_app(world.context(), Manner()))) as client:
        headers = {"Authorization": token} if token else {}
        async with client.post("/internal/assets", data=body, headers=headers) as response:
            assert response.status == status
            assert decode_denied(await response.read()).error
        assert (await status_of(client, "/v2"))[0] == 404


async def test_consumers_cannot_ask_as_loaders(client: Client) -> None:
    async with client.post("/internal/assets", data=b"{}") as response:
        assert response.status == 404


def routes() -> list[tuple[str, str]]:
    return [(one.method, one.path) for one in (*own_routes(), *v2.routes())]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "documentId serviceId consumerAddress nonce signature jobId index dataset algorithm",
        "environment datasets compute transferTxId fileIndex userdata did type url address token",
        "expiration chainId dataNftAddress encryptedDocument flags documentHash userAddress",
    ]
).flatmap(lambda names: st.sampled_from(names.split()))
GOOD = st.sampled_from(
    [CONSUMER, dataset()["id"], DATASET_ORDER, "1", 1, "compute", "0" * 32, signed("x"), "url"]
)
OBJECTS = st.dictionaries(NAMES, GOOD | JSON, max_size=8)
BODIES = (
    st.binary(max_size=64)
    | OBJECTS.map(lambda body: json.dumps(body).encode())
    | JSON.map(lambda body: json.dumps(body).encode())
    | st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b'{"nonce":1e999}', b'"\\ud800"'])
)
QUERIES = st.lists(st.tuples(NAMES, st.text(max_size=40) | GOOD.map(str)), max_size=6)


class Fuzzed:
    """An application that is asked from a test without an event loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.client: Client = self.loop.run_until_complete(self._open())

    async def _open(self) -> Client:
        client: Client = TestClient(TestServer(market().app()))
        await client.start_server()
        return client

    def ask(self, method: str, path: str, **sent: Any) -> tuple[int, bytes]:
        return self.loop.run_until_complete(asyncio.wait_for(self._ask(method, path, sent), 5))

    async def _ask(self, method: str, path: str, sent: dict[str, Any]) -> tuple[int, bytes]:
        async with self.client.request(method, path, **sent) as response:
            return response.status, await response.read()

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(scope="module")
def fuzzed() -> Any:
    found = Fuzzed()
    yield found
    found.close()


@pytest.mark.parametrize(("method", "path"), routes(), ids=lambda text: text)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES, query=QUERIES | st.just([]), kind=st.sampled_from(["json", "octet-stream"]))
def test_nothing_that_is_sent_makes_a_route_fail(
    fuzzed: Fuzzed, method: str, path: str, body: bytes, query: Any, kind: str
) -> None:
    headers = {"Content-Type": f"application/{kind}", "AuthToken": "x.y.z", "Range": "bytes=5-1"}
    path = path.replace("{did}", dataset()["id"])
    status, answer = fuzzed.ask(method, path, data=body, params=query, headers=headers)
    assert status < 500
    assert b"s3cr3t" not in answer


@pytest.mark.parametrize("path", [f"{SERVICES}/%ff%fe", "/v2/api/aquarius/assets/ddo/%00%ed%a0%80"])
def test_a_path_that_is_no_text_is_not_found(fuzzed: Fuzzed, path: str) -> None:
    assert fuzzed.ask("GET", path)[0] in (400, 404)


def test_the_openapi_document_has_every_route_once(fuzzed: Fuzzed) -> None:
    body = json.loads(fuzzed.ask("GET", "/openapi.json")[1])
    told = [(method.upper(), path) for path, ways in body["paths"].items() for method in ways]
    assert sorted(told) == sorted(routes())
    app = web.Application()
    add_routes(app)
    served = {(route.method, route.resource.canonical) for route in app.router.routes()}
    assert {one for one in served if "//" not in one[1] and one[1] != "/v2/"} == set(told)


def test_the_openapi_document_is_whole(fuzzed: Fuzzed) -> None:
    body = json.loads(fuzzed.ask("GET", "/openapi.json")[1])
    assert body["openapi"] == "3.1.0"
    names = []
    for path, ways in body["paths"].items():
        for operation in ways.values():
            names.append(operation["operationId"])
            assert operation["summary"]
            assert any(int(status) < 400 for status in operation["responses"])
            assert all(answer["description"] for answer in operation["responses"].values())
            in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    assert len(set(names)) == len(names)


def test_the_page_needs_nothing_from_elsewhere(fuzzed: Fuzzed) -> None:
    text = fuzzed.ask("GET", "/docs")[1].decode()
    assert "http://" not in text
    assert "https://" not in text
    assert "src=" not in text
    for _, path in routes():
        assert f"<code>{path}</code>" in text
