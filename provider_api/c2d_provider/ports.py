"""What handlers ask of the world: chains, assets, the cluster, the result store.

Each port is kept by one module over one library: `chain` web3, `assets` the network, `cluster` the
Kubernetes API (whose client only `api_server` knows), `results` obstore. Handlers and flows know
the ports alone, so a wire generation is a way to read and write requests, and nothing more.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from c2d_api.computeenvironment import Environment
from c2d_api.computejob import ComputeJob
from c2d_api.results import ResultFile
from c2d_provider import nonces, orders, spending, tokens
from c2d_provider.asked import Document
from c2d_provider.credentials import AccessList
from c2d_provider.ddo import Ddo, Service
from c2d_provider.fees import SignedFee
from c2d_provider.files import FileObject, Headers
from c2d_provider.naming import EnvironmentName
from c2d_provider.refusals import Refusal

Json = Mapping[str, Any]


class UnavailableError(Exception):
    """Something outside did not answer in time; the words can be shown, and asking again helps."""


@dataclass(frozen=True)
class Nft:
    """A data NFT as its chain has it now; addresses checksummed."""

    address: str
    owner: str
    state: int


@dataclass(frozen=True)
class Token:
    """A token, NFT or datatoken, and what it calls itself."""

    address: str
    name: str
    symbol: str


@dataclass(frozen=True)
class Metadata:
    """The newest metadata of an NFT: what MetadataCreated or MetadataUpdated carried.

    `transaction` is `0x` and lower-case hexadecimal; `validated` has the addresses of
    MetadataValidated in the same transaction; times in seconds of the epoch.
    """

    document: Document
    transaction: str
    block_number: int
    block_time: int
    sender: str
    decryptor_url: str
    is_update: bool
    validated: tuple[str, ...] = ()


class Chains(Protocol):
    """The chains a provider serves; each call has a time limit, and fails over between RPCs.

    Every method raises `UnavailableError` where no endpoint of the chain answers, and `Refused`
    (`Reason.CHAIN_UNKNOWN`) for a chain that is not served.
    """

    @property
    def ids(self) -> tuple[int, ...]:
        """The chains that are served."""

    async def order_facts(
        self, chain_id: int, transaction: str, nft: str, datatoken: str
    ) -> orders.Facts:
        """Read what `orders.judge` needs; what cannot change any more is not asked twice."""

    async def head(self, chain_id: int) -> int:
        """Read the number of the newest block."""

    async def nft(self, chain_id: int, address: str) -> Nft | Refusal:
        """Read an NFT of Ocean's factory."""

    async def nft_named(self, chain_id: int, did: str) -> str | None:
        """Find the NFT of a DID among those of Ocean's factory."""

    async def token(self, chain_id: int, address: str) -> Token:
        """Read what a token calls itself; nothing where it does not say."""

    async def metadata(self, chain_id: int, nft: str) -> Metadata | None:
        """Find the newest metadata of an NFT, in chunks of blocks; what was found is remembered."""

    async def metadata_in(self, chain_id: int, nft: str, transaction: str) -> Metadata | None:
        """Read the metadata that one transaction set."""

    async def lists_holding(
        self, consumer: str, lists: tuple[AccessList, ...]
    ) -> frozenset[AccessList]:
        """Tell which access lists hold a consumer."""

    async def call_function(self, file: FileObject, values: Json) -> bytes:
        """Call the reading function of a `SmartContractFile`; its answer as JSON text."""


@dataclass(frozen=True)
class Published:
    """An asset as published: its DDO, and the document itself as clients are served it."""

    ddo: Ddo
    document: Json = field(repr=False)
    metadata: Metadata
    nft: Nft


@dataclass(frozen=True)
class ResolvedRequest:
    """A request that brings one file; it is secret, but for its size.

    `content_id` names the content itself, as `c2d_api.asset_request.FileRequest` has it.
    """

    url: str = field(repr=False)
    method: str
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False, default=b"")
    content_id: str | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Inline:
    """A file's content itself, where no request brings it."""

    content: bytes = field(repr=False)


Resolved = ResolvedRequest | Inline


@dataclass(frozen=True)
class FileFacts:
    """What a file's server says of it; `sha256` in hexadecimal where it was asked for."""

    valid: bool
    content_type: str = ""
    content_length: int | None = None
    sha256: str | None = None
    name: str = ""


class Chunks(Protocol):
    """Bytes as they come from elsewhere; whoever leaves them early closes them."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Begin."""

    async def __anext__(self) -> bytes:
        """Wait for the next piece.

        Raises:
            UnavailableError: It does not come.
        """

    async def aclose(self) -> None:
        """End what brings them, if it has not ended."""


@dataclass(frozen=True)
class Opened:
    """A file that is being downloaded: what to answer, and its bytes as they come.

    Whoever does not read to the end, and whoever does not read at all, closes `chunks`.
    """

    status: int
    headers: Headers
    name: str
    chunks: Chunks


class Assets(Protocol):
    """Assets and their files; every request goes through the guarded connector.

    Methods raise `Refused` for what cannot be used, `UnavailableError` for what does not answer;
    no URL is in either.
    """

    async def published(self, did: str, chain_id: int | None = None) -> Published:
        """Find an asset by its DID: in the metadata cache, else on chain.

        Raises:
            Refused: `Reason.ASSET_UNKNOWN`, or it is not what its hash on chain says.
        """

    async def files(self, asset: Published, service: Service) -> tuple[FileObject, ...]:
        """Decrypt the files of a service, bound to its NFT and datatoken."""

    async def files_checksum(self, asset: Published, service: Service) -> str | None:
        """Join the digests of a service's files, as trust lists name them."""

    async def resolve(self, file: FileObject, values: Json) -> Resolved:
        """Say how one file is fetched, with the consumer's parameters in it."""

    async def inspect(self, file: FileObject, values: Json, *, checksum: bool) -> FileFacts:
        """Ask a file's server for its type, length and, if wanted, digest."""

    async def open(self, file: FileObject, values: Json, headers: Headers) -> Opened:
        """Begin to download a file; `headers` are those of the client that matter (`Range`)."""

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt to the provider's key by ECIES."""

    async def decrypt(self, document: Document, nft: str) -> bytes:
        """Decrypt and unpack a DDO, its hash checked."""


@dataclass(frozen=True)
class Remote:
    """An asset's service of another provider, at an `endpoint` in its one spelling.

    Its files were encrypted for that provider, which gives them to the consumer whom an order
    names, an environment's, for a signature of theirs.
    """

    endpoint: str
    document_id: str
    service_id: str
    datatoken: str


@dataclass(frozen=True)
class Routes:
    """Paths of another provider's routes, below its endpoint."""

    file_info: str
    initialize: str
    download: str


@dataclass(frozen=True)
class Initialized:
    """What another provider says that a download needs: a `fee` to order with, or nothing.

    `valid_order` is the order that is good as it is, or the one to be used again with the fee.
    """

    fee: SignedFee | None
    valid_order: str | None


class Remotes(Protocol):
    """Other providers; every request goes through the guarded connector.

    Methods raise `Refused` (`Reason.REMOTE_PROVIDER`) for what they refuse or answer amiss,
    `UnavailableError` where they do not answer; no URL is in either.
    """

    async def routes(self, endpoint: str) -> Routes:
        """Tell where a provider's routes are."""

    async def count_files(self, place: Remote) -> int:
        """Count the files of a service."""

    async def initialize(self, place: Remote, consumer: str, transaction: str) -> Initialized:
        """Ask what a download needs to be ordered, or whether a transaction ordered it."""


@dataclass(frozen=True)
class Caller:
    """The pod behind a ServiceAccount token that the API server has confirmed."""

    namespace: str
    service_account: str
    pod_name: str
    pod_uid: str


class Cluster(Protocol):
    """The Kubernetes side. A miss of the watch is a live read.

    Methods raise `UnavailableError` where the API server does not answer.
    """

    def environments(self) -> tuple[Environment, ...]:
        """List the environments that the watch shows."""

    async def environment(self, name: EnvironmentName) -> Environment | None:
        """Find an environment."""

    async def job(self, name: str) -> ComputeJob | None:
        """Find a job of any namespace by its name, the 32 digits."""

    def jobs(self) -> tuple[ComputeJob, ...]:
        """List the jobs that the watch shows."""

    def jobs_of(self, consumer: str) -> tuple[ComputeJob, ...]:
        """List a consumer's jobs, oldest first."""

    async def create_job(self, manifest: Json) -> ComputeJob:
        """Create a job; one that is there already under its name, of the same seal, is returned.

        Raises:
            Refused: The API server will not have it, in its words; or another job has the name.
        """

    async def stop_job(self, job: ComputeJob, reason: str) -> None:
        """Set `spec.stop`."""

    async def resume_job(self, job: ComputeJob) -> None:
        """Take `spec.suspend` back."""

    async def delete_job(self, job: ComputeJob) -> None:
        """Delete the job of this uid."""

    async def bind_seal(self, job: ComputeJob) -> bool:
        """Record by compare-and-set that the seal is this uid's; False if it is another one's."""

    async def use_nonce(
        self, address: str, nonce: nonces.Nonce, used: nonces.Use
    ) -> Refusal | None:
        """Advance a nonce by compare-and-set; refused where it was used."""

    async def issue_nonce(self, address: str) -> str:
        """Take a nonce by compare-and-set for a request that we sign for an address."""

    async def current_nonce(self, address: str) -> str:
        """Tell the last nonce of an address as `nonces.current` does."""

    async def spent_fees(self) -> frozenset[str]:
        """Name the fees that have paid, as `orders.payment` asks."""

    async def spend_fee(self, chain_id: int, fee: orders.PaidFee) -> str | Refusal:
        """Let a fee pay for one job by compare-and-set; returns the job's name (`spending`)."""

    async def free_fee(self, job: str) -> None:
        """Let the fee of a job pay for one more attempt (`spending.free`)."""

    async def ledger(self) -> spending.Ledger:
        """Read the ledger of fees."""

    async def end_token(self, token: tokens.Token) -> None:
        """Remember by compare-and-set that a token is ended, until it would have expired."""

    async def is_token_ended(self, token: tokens.Token) -> bool:
        """Say whether a token was ended before its time."""

    async def caller(self, token: str) -> Caller | None:
        """Ask the API server whose token this is, for our audience; None for nobody's."""

    async def pod_labels(self, caller: Caller) -> Mapping[str, str] | None:
        """Read the labels of a caller's pod, if a pod of that name has that uid and no deletion."""

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Read a Secret that the provider may read: an environment's key or its store's."""


@dataclass(frozen=True)
class Stored:
    """A published file that is being read: `etag` is its digest, `total` its whole length.

    Whoever does not read to the end closes `chunks`.
    """

    name: str
    etag: str
    total: int
    start: int
    length: int
    chunks: Chunks


Span = tuple[int, int | None]
"""The first byte of a range and its last, if given; a first one below 0 counts from the end."""


class ResultStore(Protocol):
    """Results of jobs, read with the store's own keys; constant memory whatever the size."""

    async def files(self, job: ComputeJob) -> tuple[ResultFile, ...] | Refusal:
        """List the files of a job by their index, as its manifest has them."""

    async def read(self, job: ComputeJob, index: int, span: Span | None) -> Stored | Refusal:
        """Open a file of a job by its index; a `span` that is not in it has length 0."""
