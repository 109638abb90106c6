"""Whole flows with ocean.py as it is; the last line printed is JSON: what the client saw.

    python flow.py '{"rpc", "provider", "publisher", "consumer", "environment", "paid",
                     "dataset", "code", "container"}'

Addresses of contracts come from ADDRESS_FILE. `dataset` and `code` are URLs.
"""

# ruff: noqa: T201 - a program of its own, and its output is what it is for

import json
import os
import sys
import time
import typing

typing.Any = object  # its type checks ask `isinstance(x, Any)`, which Python 3.11 refuses
from eth_account import Account  # noqa: E402 - after the line above
from ocean_lib.example_config import get_config_dict  # noqa: E402 - as above
from ocean_lib.exceptions import DataProviderException  # noqa: E402 - as above
from ocean_lib.models.compute_input import ComputeInput  # noqa: E402 - as above
from ocean_lib.ocean.ocean import Ocean  # noqa: E402 - as above
from ocean_lib.ocean.ocean_assets import OceanAssets  # noqa: E402 - as above
from ocean_lib.ocean.util import to_wei  # noqa: E402 - as above
from ocean_lib.structures.algorithm_metadata import AlgorithmMetadata  # noqa: E402 - as above

LIMIT = 180
PAUSE = 0.5
RUNNING = 40
CHAIN_ID = 8996


class Flow:
    """A publisher and a consumer at one provider."""

    def __init__(self, given):
        """Connect to chain and provider."""
        os.environ["NO_PROXY"] = "*"
        self.given = given
        config = get_config_dict(given["rpc"])
        config |= {"PROVIDER_URL": given["provider"], "METADATA_CACHE_URI": given["provider"]}
        self.ocean = Ocean(config)
        self.publisher = Account.from_key(given["publisher"])
        self.consumer = Account.from_key(given["consumer"])
        self.free, self.paid = given["environment"], given["paid"]
        self.algorithm = self.publish_algorithm()
        self.dataset = self.publish_dataset("numbers", algorithm=self.algorithm, raw=True)

    def publish_algorithm(self):
        """Publish the algorithm as an asset."""
        container = self.given["container"]
        by = {"from": self.publisher}
        metadata = OceanAssets.default_metadata("count", by, "algorithm")
        metadata["algorithm"] = {"language": "sh", "version": "0.1", "container": container}
        _, token, ddo = self.ocean.assets.create_algo_asset(
            "count", self.given["code"], by, metadata=metadata
        )
        self.give(token)
        return ddo

    def publish_dataset(self, name, *, algorithm=None, raw=False):
        """Publish a dataset; trust one algorithm, or any raw code."""
        values = {
            "allowRawAlgorithm": raw,
            "allowNetworkAccess": False,
            "publisherTrustedAlgorithms": [],
            "publisherTrustedAlgorithmPublishers": [],
        }
        _, token, ddo = self.ocean.assets.create_url_asset(
            name,
            self.given["dataset"],
            {"from": self.publisher},
            with_compute=True,
            compute_values=values,
        )
        self.give(token)
        if algorithm:
            service = next(one for one in ddo.services if one.type == "compute")
            service.add_publisher_trusted_algorithm(algorithm)
            ddo = self.ocean.assets.update(ddo, {"from": self.publisher})
        return ddo

    def give(self, token):
        """Give the consumer datatokens."""
        token.mint(self.consumer.address, to_wei(9), {"from": self.publisher})

    def environment(self, name):
        """Find what a place for jobs offers."""
        offered = self.ocean.compute.get_c2d_environments(self.given["provider"], CHAIN_ID)
        return next(one for one in offered if one["id"] == name)

    def pay(self, dataset, algorithm, name):
        """Order everything for an environment, or reuse what was ordered."""
        environment = self.environment(name)
        (dataset,), algorithm = self.ocean.assets.pay_for_compute_service(
            datasets=[dataset],
            algorithm_data=algorithm,
            consume_market_order_fee_address=self.consumer.address,
            tx_dict={"from": self.consumer},
            compute_environment=environment["id"],
            valid_until=int(time.time()) + 600,
            consumer_address=environment["consumerAddress"],
        )
        return dataset, algorithm

    def start(self, dataset, algorithm, name):
        """Start a job."""
        raw = isinstance(algorithm, AlgorithmMetadata)
        return self.ocean.compute.start(
            consumer_wallet=self.consumer,
            dataset=dataset,
            compute_environment=name,
            **{"algorithm_meta" if raw else "algorithm": algorithm},
        )

    def raw(self, code):
        """Describe an algorithm that is not published."""
        container = self.given["container"]
        return AlgorithmMetadata(
            {"rawcode": code, "language": "sh", "version": "0.1", "container": container}
        )

    def status(self, dataset, job):
        """Ask how a job is."""
        return self.ocean.compute.status(dataset.ddo, dataset.service, job, self.consumer)

    def told(self, dataset, job, wanted):
        """Wait until a job's status is as wanted."""
        end = time.monotonic() + LIMIT
        while not wanted(status := self.status(dataset, job)):
            assert time.monotonic() < end, f"the job is still at {status['status']}"
            time.sleep(PAUSE)
        return status

    def ended(self, dataset, job):
        """Wait for a job's end and fetch all of its results."""
        told = self.told(dataset, job, lambda status: status.get("dateFinished"))
        results = {
            file["filename"]: self.ocean.compute.result(
                dataset.ddo, dataset.service, job, index, self.consumer
            ).decode()
            for index, file in enumerate(told["results"])
        }
        return {"status": told["status"], "text": told["statusText"], "results": results}

    def refused(self, call, *words, **named):
        """Return the words of a refusal."""
        try:
            call(*words, **named)
        except DataProviderException as refusal:
            return str(refusal)
        raise AssertionError("it was not refused")

    def run(self):
        """Do everything; returns what was seen, by flow."""
        dataset, algorithm = self.dataset, self.algorithm
        orders = self.pay(_input(dataset, "compute"), _input(algorithm, "access"), self.free)
        seen = {"free": self.ended(orders[0], self.start(*orders, self.free))}
        seen["reused"], seen["ordered anew"] = self.reuse(*orders)
        raw = self.raw('echo raw > "$OUTPUTS/raw.txt"')
        bought, _ = self.pay(_input(dataset, "compute"), raw, self.free)
        seen["raw"] = self.ended(bought, self.start(bought, raw, self.free))
        seen["stopped"] = self.stop(bought)
        seen["paid"], seen["paid twice"] = self.pay_fees()
        other = self.publish_dataset("nobody's")
        stolen = _input(other, "compute", orders[0].transfer_tx_id)
        seen["another's order"] = self.refused(self.start, stolen, orders[1], self.free)
        seen["not trusted"] = self.refused(self.pay, _input(other, "compute"), orders[1], self.free)
        return seen

    def reuse(self, dataset, algorithm):
        """Start once more with the same orders."""
        again = self.pay(
            _input(dataset.ddo, "compute", dataset.transfer_tx_id),
            _input(algorithm.ddo, "access", algorithm.transfer_tx_id),
            self.free,
        )
        ordered = [one.transfer_tx_id for one in (dataset, algorithm)]
        anew = [one.transfer_tx_id for one in again] != ordered
        return self.ended(again[0], self.start(*again, self.free)), anew

    def stop(self, dataset):
        """Start what would take long, and stop it once it runs."""
        job = self.start(dataset, self.raw("echo begun; sleep 600"), self.free)
        self.told(dataset, job, lambda status: status["status"] >= RUNNING)
        self.ocean.compute.stop(dataset.ddo, dataset.service, job, self.consumer)
        return self.ended(dataset, job)

    def pay_fees(self):
        """Buy a place that costs something, and try to use it twice."""
        dataset = _input(self.dataset, "compute")
        self.ocean.OCEAN_token.approve(
            dataset.service.datatoken, to_wei(100), {"from": self.consumer}
        )
        orders = self.pay(dataset, _input(self.algorithm, "access"), self.paid)
        seen = self.ended(orders[0], self.start(*orders, self.paid))
        return seen, self.refused(self.start, *orders, self.paid)


def _input(ddo, kind, order=None):
    """Name the service of a kind of an asset, and its order where there is one."""
    found = ComputeInput(ddo, next(one for one in ddo.services if one.type == kind))
    found.transfer_tx_id = order
    return found


if __name__ == "__main__":
    print(json.dumps(Flow(json.loads(sys.argv[1])).run()))
