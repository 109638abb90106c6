"""Provider v2 over HTTP: each route of it, as a way to read a request and to write an answer."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeVar

from aiohttp import web

from c2d_api.computeenvironment import Environment
from c2d_api.computejob import ComputeJob
from c2d_api.quantities import parse_quantity
from c2d_provider import (
    VERSION,
    addresses,
    ddo,
    details,
    downloading,
    environments,
    initializing,
    messages,
    starting,
    stopping,
    tokening,
    trust,
    vouching,
)
from c2d_provider.asked import Authorization, ResultAsked
from c2d_provider.authorizing import AuthorizationRefused, Proof
from c2d_provider.context import Context
from c2d_provider.details import Detailed
from c2d_provider.initializing import Needed
from c2d_provider.judging import PartRefused
from c2d_provider.messages import Messages
from c2d_provider.ports import Span, Stored, UnavailableError
from c2d_provider.refusals import Reason, Refused
from c2d_provider.wire import ranges, v2_answers
from c2d_provider.wire import v2_requests as read
from c2d_provider.wire.exchange import (
    CONTEXT,
    Handler,
    Parameter,
    Route,
    attachment,
    json_response,
    read_body,
    stream,
)
from c2d_provider.wire.v2_answers import Answer, Item, Offered, Rejected

PREFIX: Final = "/v2"
_SERVICES: Final = f"{PREFIX}/api/services"
_DDO: Final = f"{PREFIX}/api/aquarius/assets/ddo"
TOKEN_HEADER: Final = "AuthToken"  # noqa: S105 - a header's name

_FORWARDED = ("Range", "If-Range")
_PASSED_ON = frozenset(
    {
        "accept-ranges",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
    }
)
_GIGABYTE = 10**9
# What is kept for ever is said to be kept for the longest retention that there is: clients read a
# number.
_FOR_EVER = 10 * 365 * 24 * 3600
_CONSUMED = {
    Reason.ASSET_UNKNOWN: "Cannot resolve DID",
    Reason.ASSET_MALFORMED: "Asset malformed or disabled.",
    Reason.FILES_MALFORMED: "Unable to get dataset files",
    Reason.FILES_OF_OTHER_ASSET: "Unable to get dataset files",
}
_STATUSES = {
    Reason.JOB_UNKNOWN: 404,
    Reason.RESULT_UNKNOWN: 404,
    Reason.RESULT_EXPIRED: 404,
    Reason.CREDENTIALS_NOT_ALLOWED: 403,
    Reason.ASSET_STATE: 403,
}

Asked = TypeVar("Asked")


async def root(request: web.Request) -> web.Response:
    """Tell what this provider is, and where its endpoints are."""
    return json_response(described(request.app[CONTEXT]))


def described(context: Context) -> dict[str, Any]:
    """Write what the root of provider v2 answers."""
    providers = dict.fromkeys(context.ports.chains.ids, context.identity.address)
    return v2_answers.root(VERSION, providers)


async def nonce(request: web.Request) -> web.Response:
    """Tell the nonce of an address."""
    address = read.parse_nonce(await _sent(request))
    found = await request.app[CONTEXT].ports.cluster.current_nonce(addresses.checksummed(address))
    return json_response({"nonce": found})


async def encrypt(request: web.Request) -> web.Response:
    """Encrypt a document to the provider's key."""
    chain_id = read.parse_encrypt(dict(request.query), request.content_type)
    body = await read_body(request, vouching.MOST_ENCRYPTED)
    text = vouching.encrypt(request.app[CONTEXT], chain_id, body)
    return web.Response(text=text, status=201)


async def decrypt(request: web.Request) -> web.Response:
    """Decrypt a DDO."""
    asked = read.parse_decrypt(await _sent(request), has_token=_has_token(request))
    signed = messages.decrypt(
        asked.signed, asked.authorization.address, asked.chain_id, asked.authorization.nonce.text
    )
    what = f"{asked.chain_id} {asked.nft} {asked.signed}"
    proof = _proof(request, asked.authorization, signed, what)
    document = await vouching.decrypt(request.app[CONTEXT], asked, proof)
    return web.Response(body=document, status=201, content_type="text/plain", charset="utf-8")


async def file_info(request: web.Request) -> web.Response:
    """Tell what is known of files."""
    asked = read.parse_file_info(await _sent(request))
    found = await downloading.file_info(request.app[CONTEXT], asked)
    return json_response([v2_answers.file_known(one.index, one.kind, one.facts) for one in found])


async def initialize(request: web.Request) -> web.Response:
    """Tell what a download needs to be ordered."""
    asked, context = read.parse_initialize(await _sent(request)), request.app[CONTEXT]
    needed = await initializing.initialize(context, asked)
    body = _item(needed).as_dict()
    if needed.fee is not None:
        consumer = addresses.checksummed(asked.consumer)
        body["nonce"] = await context.ports.cluster.current_nonce(consumer)
    return json_response(body)


async def download(request: web.Request) -> web.StreamResponse:
    """Pass on a file to who bought it."""
    asked = read.parse_download(await _sent(request), has_token=_has_token(request))
    signed = messages.download(asked.asset.document_id, asked.authorization.nonce.text)
    what = f"{asked.asset.document_id} {asked.asset.service_id} {asked.file_index}"
    proof = _proof(request, asked.authorization, signed, what)
    headers = tuple((name, request.headers[name]) for name in _FORWARDED if name in request.headers)
    opened = await downloading.download(request.app[CONTEXT], asked, proof, headers)
    response = web.StreamResponse(status=opened.status)
    for name, value in opened.headers:
        if name.lower() in _PASSED_ON:
            response.headers[name] = value
    response.headers["Content-Disposition"] = attachment(opened.name)
    return await stream(request, response, opened.chunks)


async def list_environments(request: web.Request) -> web.Response:
    """List the environments that accept jobs, by chain."""
    context, asked = request.app[CONTEXT], read.parse_environments(await _sent(request))
    served = context.ports.chains.ids
    chains = served if asked is None else tuple(chain for chain in served if chain == asked)
    listed = environments.offered_on(context.ports.cluster.environments(), chains)
    return json_response(
        v2_answers.environments(
            {
                chain: [_offered(context, one, chain) for one in found]
                for chain, found in listed.items()
            }
        )
    )


async def initialize_compute(request: web.Request) -> web.Response:
    """Tell what a job needs to be ordered."""
    asked = read.parse_initialize_compute(await _sent(request))
    prepared = await initializing.initialize_compute(request.app[CONTEXT], asked)
    algorithm = _item(prepared.algorithm) if prepared.algorithm else None
    return json_response(
        v2_answers.initialized_compute([_item(one) for one in prepared.datasets], algorithm)
    )


async def start(request: web.Request) -> web.Response:
    """Start a job."""
    asked = read.parse_start(await _sent(request), has_token=_has_token(request))
    who = asked.authorization
    signed = messages.start(who.address, asked.datasets[0].document_id, who.nonce.text)
    proof = _proof(request, who, signed, asked.datasets[0].document_id)
    job = await starting.start(request.app[CONTEXT], asked, proof)
    return json_response([_job(Detailed(job, ()))])


async def stop(request: web.Request) -> web.Response:
    """Stop a job."""
    asked = read.parse_job_asked(await _sent(request), has_token=_has_token(request))
    who = asked.authorization
    signed = messages.stop(who.address, asked.job_id, asked.document_id, who.nonce.text)
    proof = _proof(request, who, signed, asked.job_id)
    job = await stopping.stop(request.app[CONTEXT], asked, proof)
    return json_response([_job(await details.detailed(request.app[CONTEXT], job))])


async def delete(request: web.Request) -> web.Response:
    """Delete a job."""
    asked = read.parse_job_asked(await _sent(request), has_token=_has_token(request))
    who = asked.authorization
    signed = messages.delete(who.address, asked.job_id, asked.document_id, who.nonce.text)
    proof = _proof(request, who, signed, asked.job_id)
    job = await stopping.delete(request.app[CONTEXT], asked, proof)
    return json_response([_job(Detailed(job, ()))])


async def status(request: web.Request) -> web.Response:
    """Tell what became of a job, or of all of a consumer."""
    asked = read.parse_status(await _sent(request))
    found = await details.status(request.app[CONTEXT], asked)
    return json_response([_job(one) for one in found])


async def result(request: web.Request) -> web.StreamResponse:
    """Give a file of a job's results to its owner or a viewer."""
    asked = read.parse_result(await _sent(request), has_token=_has_token(request))
    who = asked.authorization
    signed = messages.result(who.address, asked.job_id, asked.index, who.nonce.text)
    what = f"{asked.job_id} {asked.index}"
    proof = replace(_proof(request, who, signed, what), may_repeat=True)
    return await _result(request, asked, proof)


async def create_token(request: web.Request) -> web.Response:
    """Make an authentication token."""
    asked = read.parse_create_token(await _sent(request))
    who = asked.authorization
    proof = _proof(request, who, messages.token(who.address, who.nonce.text), "")
    return json_response({"token": await tokening.create(request.app[CONTEXT], asked, proof)})


async def delete_token(request: web.Request) -> web.Response:
    """End an authentication token."""
    asked = read.parse_delete_token(await _sent(request))
    who = asked.authorization
    proof = _proof(request, who, messages.token(who.address, who.nonce.text), "")
    await tokening.end(request.app[CONTEXT], asked, proof)
    return json_response({"success": "Token has been deactivated."})


async def validate_container(request: web.Request) -> web.Response:
    """Judge the description of an image; answers what was sent."""
    sent = await _sent(request)
    try:
        refusal = trust.judge_container(read.parse_container(sent))
    except Rejected:
        return _written(v2_answers.failure("missing_entrypoint_image_checksum"))
    if refusal is None:
        return json_response(sent)
    is_prefix = refusal.reason == Reason.CONTAINER_CHECKSUM_MALFORMED
    code = "checksum_prefix" if is_prefix else "missing_entrypoint_image_checksum"
    return _written(v2_answers.failure(code))


async def find_ddo(request: web.Request) -> web.Response:
    """Answer the DDO of an asset, as a metadata cache does."""
    did = request.match_info["did"]
    try:
        return json_response(await vouching.find(request.app[CONTEXT], did))
    except Refused:
        return _written(v2_answers.asset_unknown(did if ddo.is_did(did) else ""))


async def validate_ddo(request: web.Request) -> web.Response:
    """Vouch for a DDO, as a metadata cache does."""
    body = await read_body(request)
    try:
        voucher = vouching.vouch(request.app[CONTEXT], body)
    except Refused as refused:
        return json_response([{"message": refused.refusal.message}], 400)
    return json_response(
        {
            "hash": voucher.hash,
            "publicKey": voucher.address,
            "v": voucher.v,
            "r": [voucher.r],
            "s": [voucher.s],
        }
    )


async def _result(request: web.Request, asked: ResultAsked, proof: Proof) -> web.StreamResponse:
    context, given = request.app[CONTEXT], request.headers
    span = ranges.parse_range(given.get("Range"))
    stored = await details.result(context, asked, proof, span)
    if span and ranges.has_changed(given.get("If-Range"), _etag(stored)):
        await stored.chunks.aclose()
        span, stored = None, await details.result(context, asked, proof, None)
    short = _without_content(stored, span, given.get("If-None-Match"))
    if short is not None:
        await stored.chunks.aclose()
        return short
    response = web.StreamResponse(status=206 if span else 200)
    response.content_type = "application/octet-stream"
    response.content_length = stored.length
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = _etag(stored)
    response.headers["Content-Disposition"] = attachment(stored.name)
    if span:
        end = stored.start + stored.length - 1
        response.headers["Content-Range"] = f"bytes {stored.start}-{end}/{stored.total}"
    return await stream(request, response, stored.chunks)


def _without_content(
    stored: Stored, span: Span | None, if_none_match: str | None
) -> web.Response | None:
    """Answer what needs no content: a client that has it, a range that is not in it."""
    if ranges.is_known(if_none_match, _etag(stored)):
        return web.Response(status=304, headers={"ETag": _etag(stored)})
    if span and not stored.length:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{stored.total}"})
    return None


def _etag(stored: Stored) -> str:
    return f'"{stored.etag}"'


async def _sent(request: web.Request) -> read.Sent:
    """Read what a request asks with: its query, else its JSON body."""
    body = b"" if request.query_string else await read_body(request)
    return read.sent_parameters(request.query.items(), body)


def _has_token(request: web.Request) -> bool:
    return bool(request.headers.get(TOKEN_HEADER))


def _proof(
    request: web.Request, authorization: Authorization, signed: Messages, what: str
) -> Proof:
    resource = request.match_info.route.resource
    place = resource.canonical if resource else ""
    token = request.headers.get(TOKEN_HEADER, "")
    return Proof(authorization, signed, f"{request.method} {place} {what}", token)


def _item(needed: Needed) -> Item:
    return Item(needed.datatoken, needed.fee, needed.valid_order)


def _job(found: Detailed) -> dict[str, Any]:
    job: ComputeJob = found.job
    return dict(v2_answers.job(job, job.status.ocean, details.agreement(job), found.files))


def _offered(context: Context, environment: Environment, chain_id: int) -> Offered:
    place = environments.offering(environment, context.identity.cluster)
    prices, most, seen = place.prices_on(chain_id), environment.maximum, context.now()
    return Offered(
        id=place.id,
        consumer=place.consumer,
        fee_token=prices[0].token if prices else addresses.ZERO,
        price_per_minute=prices[0].per_minute if prices else Decimal(0),
        cpus=_number(parse_quantity(most.cpu)),
        ram=_number(parse_quantity(most.memory) / _GIGABYTE),
        disk=_number(parse_quantity(most.disk) / _GIGABYTE),
        gpus=0,
        gpu_type="",
        description=environment.description,
        running_jobs=int(environment.status.get("runningJobs", 0)),
        max_jobs=environment.max_jobs,
        max_job_duration=environment.max_job_duration,
        storage_expiry=environment.retention or _FOR_EVER,
        seen=v2_answers.moment(seen),
    )


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else round(float(value), 3)


def _written(answer: Answer) -> web.Response:
    return json_response(answer.body, answer.status)


def compute_refused(refused: Refused) -> Answer:
    """Write why a request of a compute route is refused."""
    if isinstance(refused, PartRefused):
        part = refused.part
        named = read.resource(part.position) if part.kind == "dataset" else part.kind
        return v2_answers.refused_part(refused.refusal, named, part.document_id)
    if refused.refusal.reason in (Reason.FEES_NOT_PAID, Reason.FEE_SPENT):
        return v2_answers.refused_part(refused.refusal, "order", "")
    return data_refused(refused)


def consume_refused(refused: Refused) -> Answer:
    """Write why a request of a route that consumes an asset is refused."""
    if not isinstance(refused, PartRefused):
        return data_refused(refused)
    refusal, part = refused.refusal, refused.part
    text = _CONSUMED.get(refusal.reason, refusal.message)
    if refusal.reason in v2_answers.CONSUMABLE:
        text = v2_answers.consumability(part.document_id, refusal)
    if refusal.reason in v2_answers.ORDERS:
        return v2_answers.refused_order(refusal, part.transaction, part.chain_id)
    return v2_answers.consume_failure(text, part.chain_id)


def data_refused(refused: Refused) -> Answer:
    """Write why a request is refused, where it is no part of it."""
    refusal = refused.refusal
    if isinstance(refused, AuthorizationRefused):
        return v2_answers.refused_authorization(refusal)
    return v2_answers.failure(refusal.message, _STATUSES.get(refusal.reason, 400))


def answered(handler: Handler, write: Callable[[Refused], Answer]) -> Handler:
    """Let a handler's refusals be answered in the words of provider v2."""

    async def answering(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Rejected as rejected:
            return _written(rejected.answer)
        except Refused as refused:
            return _written(write(refused))
        except UnavailableError as error:
            return _written(v2_answers.failure(str(error), 503))

    return answering


_ADDRESS = Parameter("consumerAddress", "Who asks: an Ethereum address.", required=True)
_NONCE = Parameter("nonce", "A decimal above the last one of this address.", required=True)
_SIGNATURE = Parameter(
    "signature", f"Signature of the request's text; without it, a token in {TOKEN_HEADER} counts."
)
_SIGNED = (_ADDRESS, _NONCE, _SIGNATURE)
_DOCUMENT = Parameter("documentId", "DID of the asset.", required=True)
_SERVICE = Parameter("serviceId", "Id of the service in the DDO.", required=True)
_JOB = Parameter("jobId", "Id of the job.", required=True)
_CHAIN = Parameter("chainId", "A chain that the provider serves.", type="integer")
_REFUSED = {400: "Why the request is refused."}
_UNAVAILABLE = {503: "Something outside did not answer; asking again helps."}
_FAULTS = {**_REFUSED, **_UNAVAILABLE}
_FILES_KNOWN = (
    f"One entry a file. Those from number {downloading.MOST_INSPECTED} on are not asked for, and so"
    " not said to be valid."
)
_ORDER = Parameter("transferTxId", "Hash of the order's transaction.")
_DATASET = Parameter("dataset", "documentId, serviceId, transferTxId, userdata.", True, "object")
_ALGORITHM = Parameter(
    "algorithm",
    "The same, with algocustomdata; or meta with rawcode or url, and container.",
    required=True,
    type="object",
)


def routes() -> tuple[Route, ...]:
    """List every route of provider v2."""
    return (*_data_routes(), *_compute_routes(), *_token_routes(), *_cache_routes())


def _data_routes() -> tuple[Route, ...]:
    data, consume = data_refused, consume_refused
    index = Parameter("fileIndex", "Which file of the service, from 0.", type="integer")
    values = Parameter("userdata", "Values of the service's consumer parameters, as JSON.")
    return (
        Route(
            "GET",
            PREFIX,
            "root",
            answered(root, data),
            "What this provider is, and where its endpoints are",
            answers={200: "Chains, addresses and endpoints."},
        ),
        Route(
            "GET",
            f"{_SERVICES}/nonce",
            "nonce",
            answered(nonce, data),
            "The nonce of an address",
            (Parameter("userAddress", "An Ethereum address.", required=True),),
            answers={200: "The last nonce, as a decimal text.", **_FAULTS},
        ),
        Route(
            "POST",
            f"{_SERVICES}/encrypt",
            "encrypt",
            answered(encrypt, data),
            "Encrypt a document to the provider's key",
            (replace(_CHAIN, required=True),),
            raw=True,
            content_type="text/plain",
            answers={201: "The encrypted document in hexadecimal.", **_REFUSED},
        ),
        Route(
            "POST",
            f"{_SERVICES}/decrypt",
            "decrypt",
            answered(decrypt, data),
            "Decrypt a DDO",
            (
                Parameter("decrypterAddress", "Who asks: an Ethereum address.", required=True),
                _NONCE,
                _SIGNATURE,
                replace(_CHAIN, required=True),
                Parameter("dataNftAddress", "The asset's NFT.", required=True),
                Parameter("transactionId", "The transaction that set the metadata."),
                Parameter("encryptedDocument", "The document, without a transaction."),
                Parameter("flags", "How it is packed."),
                Parameter("documentHash", "Its sha256."),
            ),
            in_body=True,
            content_type="text/plain",
            answers={201: "The DDO.", 403: "The DDO is not for the requester.", **_FAULTS},
        ),
        Route(
            "POST",
            f"{_SERVICES}/fileinfo",
            "fileinfo",
            answered(file_info, consume),
            "What is known of files",
            (
                Parameter("did", "DID of an asset; without it, a file object is sent."),
                Parameter("serviceId", "Id of the service in the DDO."),
                Parameter("type", "Kind of the file object: url, ipfs, arweave, ..."),
                Parameter("checksum", "Whether the files are to be hashed.", type="boolean"),
                values,
            ),
            in_body=True,
            answers={200: _FILES_KNOWN, **_FAULTS},
        ),
        Route(
            "GET",
            f"{_SERVICES}/initialize",
            "initialize",
            answered(initialize, consume),
            "What a download needs to be ordered",
            (_DOCUMENT, _SERVICE, _ADDRESS, index, _ORDER, values),
            answers={200: "A fee to order with, or the order that is valid.", **_FAULTS},
        ),
        Route(
            "GET",
            f"{_SERVICES}/download",
            "download",
            answered(download, consume),
            "A file, for who bought it",
            (
                _DOCUMENT,
                _SERVICE,
                replace(_ORDER, required=True),
                replace(index, required=True),
                *_SIGNED,
                values,
            ),
            content_type="application/octet-stream",
            answers={200: "The file.", 206: "A range of it.", **_FAULTS},
        ),
    )


def _compute_routes() -> tuple[Route, ...]:
    compute = compute_refused
    datasets = Parameter("datasets", "A list of datasets.", required=True, type="array")
    unnamed = replace(_DOCUMENT, required=False, about="DID, if it was signed.")
    gone = {404: "There is no such job for the requester."}
    return (
        Route(
            "GET",
            f"{_SERVICES}/computeEnvironments",
            "computeEnvironments",
            answered(list_environments, compute),
            "The environments that accept jobs",
            (_CHAIN,),
            answers={200: "Environments by chain.", **_REFUSED},
        ),
        Route(
            "POST",
            f"{_SERVICES}/initializeCompute",
            "initializeCompute",
            answered(initialize_compute, compute),
            "What a job needs to be ordered",
            (
                datasets,
                _ALGORITHM,
                _ADDRESS,
                Parameter("compute", "env and validUntil.", required=True, type="object"),
            ),
            in_body=True,
            answers={200: "An item for each asset.", **_FAULTS},
        ),
        Route(
            "POST",
            f"{_SERVICES}/compute",
            "computeStart",
            answered(start, compute),
            "Start a job",
            (
                _DATASET,
                _ALGORITHM,
                Parameter("environment", "Id of the environment.", required=True),
                Parameter("additionalDatasets", "Further datasets.", type="array"),
                *_SIGNED,
            ),
            in_body=True,
            answers={200: "A list with the job.", **_FAULTS},
        ),
        Route(
            "PUT",
            f"{_SERVICES}/compute",
            "computeStop",
            answered(stop, compute),
            "Stop a job",
            (_JOB, unnamed, *_SIGNED),
            in_body=True,
            answers={200: "A list with the job.", **gone, **_FAULTS},
        ),
        Route(
            "GET",
            f"{_SERVICES}/compute",
            "computeStatus",
            answered(status, compute),
            "What became of a job, or of all of a consumer",
            (_ADDRESS, replace(_JOB, required=False), unnamed),
            answers={200: "A list of jobs.", **_FAULTS},
        ),
        Route(
            "DELETE",
            f"{_SERVICES}/compute",
            "computeDelete",
            answered(delete, compute),
            "Delete a job",
            (_JOB, _DOCUMENT, *_SIGNED),
            in_body=True,
            answers={200: "A list with the job as it was.", **gone, **_FAULTS},
        ),
        Route(
            "GET",
            f"{_SERVICES}/computeResult",
            "computeResult",
            answered(result, compute),
            "A file of a job's results",
            (_JOB, Parameter("index", "Position in results.", True, "integer"), *_SIGNED),
            content_type="application/octet-stream",
            answers={
                200: "The file.",
                206: "A range of it.",
                304: "The client has it.",
                404: "There is no such file for the requester.",
                416: "The range is not in the file.",
                **_FAULTS,
            },
        ),
        Route(
            "POST",
            f"{_SERVICES}/validateContainer",
            "validateContainer",
            answered(validate_container, compute),
            "Judge the description of an image",
            tuple(
                Parameter(name, f"The image's {name}.", name != "tag")
                for name in ("entrypoint", "image", "checksum", "tag")
            ),
            in_body=True,
            answers={200: "What was sent.", **_REFUSED},
        ),
    )


def _token_routes() -> tuple[Route, ...]:
    address = Parameter("address", "Who asks: an Ethereum address.", required=True)
    signed = (address, _NONCE, replace(_SIGNATURE, required=True))
    return (
        Route(
            "GET",
            f"{_SERVICES}/createAuthToken",
            "create_auth_token",
            answered(create_token, data_refused),
            "Make an authentication token",
            (*signed, Parameter("expiration", "Its end in seconds.", True, "integer")),
            answers={200: "The token.", **_FAULTS},
        ),
        Route(
            "DELETE",
            f"{_SERVICES}/deleteAuthToken",
            "delete_auth_token",
            answered(delete_token, data_refused),
            "End an authentication token",
            (*signed, Parameter("token", "The token.", required=True)),
            in_body=True,
            answers={200: "It does not count any more.", **_FAULTS},
        ),
    )


def _cache_routes() -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            f"{_DDO}/{{did}}",
            "getDDO",
            answered(find_ddo, data_refused),
            "A DDO",
            answers={200: "The DDO.", 404: "There is no such asset.", **_UNAVAILABLE},
        ),
        Route(
            "POST",
            f"{_DDO}/validate",
            "validateDDO",
            answered(validate_ddo, data_refused),
            "Vouch for a DDO",
            raw=True,
            answers={200: "The provider's signature of its hash.", **_FAULTS},
        ),
    )
