"""Files of published assets: downloaded by who bought them, and what anybody may know of them."""

from dataclasses import dataclass

from c2d_provider import authorizing, judging, parameters
from c2d_provider.asked import AssetAsked, Download, FileInfo
from c2d_provider.authorizing import Proof
from c2d_provider.context import Context, in_order
from c2d_provider.files import (
    ArweaveFile,
    FileObject,
    GraphqlFile,
    Headers,
    IpfsFile,
    S3File,
    SmartContractFile,
    UrlFile,
)
from c2d_provider.judging import Named, Part, PartRefused
from c2d_provider.ports import FileFacts, Opened
from c2d_provider.refusals import Reason, Refusal, refuse

MOST_INSPECTED = 32
"""Files of one service that are asked for at once: one request of ours makes no thousand.

The others are listed all the same, as nothing that is known to be valid: who fetches a service
for a job counts its files by this list.
"""


@dataclass(frozen=True)
class Known:
    """What is known of a file by its index, and the kind of its file object."""

    index: int
    kind: str
    facts: FileFacts


async def download(context: Context, asked: Download, proof: Proof, headers: Headers) -> Opened:
    """Open a file that the requester bought; `headers` are passed on.

    Raises:
        Refused: As `AuthorizationRefused` or `PartRefused` where the cause has a place.
    """
    requester = await authorizing.identify(context, proof)
    named = await _named(context, asked.asset)
    refusal = await judging.judge_use(context, named, requester.address)
    if refusal is None and named.service.type != "access":
        refusal = Refusal(
            Reason.SERVICE_NOT_USABLE,
            f"Service with index={named.service.id} is not an access service.",
        )
    if refusal is not None:
        raise PartRefused(refusal, named.part)
    judged = await judging.judge_order(context, named, requester.address)
    if isinstance(judged, Refusal):
        raise PartRefused(judged, named.part)
    if not judged.is_confirmed(context.policy.orders):
        refuse(Reason.ORDER_UNCONFIRMED, "the order transaction has too few confirmations")
    values = parameters.fill(named.service.parameters, asked.asset.user_data, "userdata")
    files = await context.ports.assets.files(named.asset, named.service)
    if asked.file_index >= len(files):
        raise PartRefused(Refusal(Reason.FILE_UNAVAILABLE, "No such fileIndex"), named.part)
    await authorizing.take_nonce(context, requester)
    return await context.ports.assets.open(files[asked.file_index], values, headers)


async def file_info(context: Context, asked: FileInfo) -> list[Known]:
    """Tell what is known of the files of a service, or of one file object."""
    if asked.file is not None:
        return [await _known(context, 0, asked.file, asked)]
    named = await _named(context, AssetAsked(asked.document_id, asked.service_id, "", {}))
    files = await context.ports.assets.files(named.asset, named.service)
    return await in_order(_known(context, index, file, asked) for index, file in enumerate(files))


def kind(file: FileObject) -> str:
    """Name the kind of a file object, as it is written."""
    match file:
        case UrlFile():
            return "url"
        case IpfsFile():
            return "ipfs"
        case ArweaveFile():
            return "arweave"
        case GraphqlFile():
            return "graphql"
        case SmartContractFile():
            return "smartcontract"
        case S3File():
            return "s3"


async def _named(context: Context, asked: AssetAsked) -> Named:
    return await judging.find(context, asked, Part("dataset", asked.document_id))


async def _known(context: Context, index: int, file: FileObject, asked: FileInfo) -> Known:
    if index >= MOST_INSPECTED:
        return Known(index, kind(file), FileFacts(valid=False))
    async with context.inspecting:
        facts = await context.ports.assets.inspect(file, asked.user_data, checksum=asked.checksum)
    return Known(index, kind(file), facts)
