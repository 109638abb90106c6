"""A whole job with ocean.py 3.1.2: publish, order, start, watch, download.

It is given the addresses and keys by the environment, as `.local/stack.env` has them:

    set -a; source .local/stack.env; set +a
    python -m venv .local/oceanpy
    .local/oceanpy/bin/pip install --require-hashes -r examples/oceanpy/requirements.txt
    .local/oceanpy/bin/python examples/oceanpy/consumer.py
"""

# ruff: noqa: INP001, T201 - it stands alone, and its output is what it is for

import argparse
import logging
import os
import shutil
import sys
import time
import typing
from pathlib import Path

typing.Any = object  # its type checks ask `isinstance(x, Any)`, which Python 3.11 refuses
from eth_account import Account  # noqa: E402 - after the line above
from ocean_lib.example_config import get_config_dict  # noqa: E402 - as above
from ocean_lib.models.compute_input import ComputeInput  # noqa: E402 - as above
from ocean_lib.ocean.ocean import Ocean  # noqa: E402 - as above
from ocean_lib.ocean.ocean_assets import OceanAssets  # noqa: E402 - as above
from ocean_lib.ocean.util import to_wei  # noqa: E402 - as above

NEEDED = (
    *("RPC_URL", "ADDRESS_FILE", "PROVIDER_URL", "DATA_URL", "FILES_URL", "FILES_DIR"),
    *("ALGO_IMAGE", "ALGO_TAG", "ALGO_CHECKSUM"),
    *("NAMESPACE", "ENVIRONMENT", "PUBLISHER_PRIVATE_KEY", "CONSUMER_PRIVATE_KEY"),
)
ALGORITHM = Path(__file__).with_name("algorithm.py")
VALID_SECONDS = 600


def main() -> int:
    """Run the example."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=Path("results"), help="folder for results")
    parser.add_argument("--limit", type=float, default=300, help="seconds that the job may take")
    options = parser.parse_args()
    missing = [name for name in NEEDED if name not in os.environ]
    if missing:
        parser.error(f"the environment lacks {', '.join(missing)}")
    logging.disable(logging.INFO)
    os.environ["NO_PROXY"] = "*"  # the stack is on this machine

    ocean = connect()
    publisher = Account.from_key(os.environ["PUBLISHER_PRIVATE_KEY"])
    consumer = Account.from_key(os.environ["CONSUMER_PRIVATE_KEY"])

    algorithm = publish_algorithm(ocean, publisher, consumer)
    print(f"published the algorithm  {algorithm.did}")
    dataset = publish_dataset(ocean, publisher, consumer, algorithm)
    print(f"published the dataset    {dataset.did}")

    environment = choose(ocean)
    bought, code = order(ocean, consumer, environment, dataset, algorithm)
    print(f"ordered both             {bought.transfer_tx_id} {code.transfer_tx_id}")

    job = ocean.compute.start(
        consumer_wallet=consumer,
        dataset=bought,
        compute_environment=environment["id"],
        algorithm=code,
    )
    print(f"started the job          {job}")
    ended = watch(ocean, bought, job, consumer, options.limit)
    options.into.mkdir(parents=True, exist_ok=True)
    for index, file in enumerate(ended["results"]):
        content = ocean.compute.result(bought.ddo, bought.service, job, index, consumer)
        target = options.into / Path(file["filename"]).name
        target.write_bytes(content)
        print(f"fetched                  {target} ({len(content)} bytes)")
    return 0 if ended["statusText"] == "Job finished" else 1


def connect() -> Ocean:
    """Connect to the chain, and to the provider, which is the metadata cache as well."""
    config = get_config_dict(os.environ["RPC_URL"])
    provider = f"{os.environ['PROVIDER_URL']}/v2"
    return Ocean(config | {"PROVIDER_URL": provider, "METADATA_CACHE_URI": provider})


def publish_algorithm(ocean, publisher, consumer):
    """Publish the algorithm beside this file; it lies where only the provider knows."""
    name = f"oceanpy-{time.time_ns()}.py"
    shutil.copyfile(ALGORITHM, Path(os.environ["FILES_DIR"]) / name)
    by = {"from": publisher}
    metadata = OceanAssets.default_metadata("Delays by month", by, "algorithm")
    metadata["algorithm"] = {
        "language": "python",
        "version": "1.0.0",
        "container": {
            "entrypoint": "python $ALGO",
            "image": os.environ["ALGO_IMAGE"],
            "tag": os.environ["ALGO_TAG"],
            "checksum": os.environ["ALGO_CHECKSUM"],
        },
    }
    url = f"{os.environ['FILES_URL']}/{name}"
    _, token, ddo = ocean.assets.create_algo_asset("Delays by month", url, by, metadata=metadata)
    token.mint(consumer.address, to_wei(1), by)
    return ddo


def publish_dataset(ocean, publisher, consumer, algorithm):
    """Publish the flights; nothing but this very algorithm may come to them."""
    by = {"from": publisher}
    rules = {
        "allowRawAlgorithm": False,
        "allowNetworkAccess": False,
        "publisherTrustedAlgorithms": [],
        "publisherTrustedAlgorithmPublishers": [],
    }
    _, token, ddo = ocean.assets.create_url_asset(
        "Flights", os.environ["DATA_URL"], by, with_compute=True, compute_values=rules
    )
    token.mint(consumer.address, to_wei(1), by)
    service_of(ddo, "compute").add_publisher_trusted_algorithm(algorithm)
    return ocean.assets.update(ddo, by)


def service_of(ddo, kind):
    """Find the service of a kind: `access` or `compute`."""
    return next(service for service in ddo.services if service.type == kind)


def choose(ocean):
    """Choose the environment that the stack names."""
    provider = f"{os.environ['PROVIDER_URL']}/v2"
    offered = ocean.compute.get_c2d_environments(provider, ocean.config["CHAIN_ID"])
    name = f"{os.environ['NAMESPACE']}.{os.environ['ENVIRONMENT']}"
    return next(one for one in offered if one["id"] == name)


def order(ocean, consumer, environment, dataset, algorithm):
    """Pay for both assets; returns them as inputs of a job."""
    (bought,), code = ocean.assets.pay_for_compute_service(
        datasets=[ComputeInput(dataset, service_of(dataset, "compute"))],
        algorithm_data=ComputeInput(algorithm, service_of(algorithm, "access")),
        consume_market_order_fee_address=consumer.address,
        tx_dict={"from": consumer},
        compute_environment=environment["id"],
        valid_until=int(time.time()) + VALID_SECONDS,
        consumer_address=environment["consumerAddress"],
    )
    return bought, code


def watch(ocean, bought, job, consumer, limit):
    """Print what becomes of the job, until it has ended."""
    end, last = time.monotonic() + limit, None
    while True:
        status = ocean.compute.status(bought.ddo, bought.service, job, consumer)
        if status["statusText"] != last:
            last = status["statusText"]
            print(f"  {status['status']}  {last}", flush=True)
        if status.get("dateFinished"):
            return status
        if time.monotonic() > end:
            raise SystemExit(f"the job {job} has not ended within {limit:.0f} s")
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
