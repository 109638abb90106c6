"""A process that uses the nonce 1 of many addresses at once, as one replica of the provider.

`python nonce_racer.py <kubeconfig> <namespace of records> <count> <step>` says that it is ready,
waits for a line, goes through the addresses (from the last one if the step is -1), and prints those
whose nonce it was let use, as JSON.
"""

import asyncio
import json
import sys

from c2d_provider import nonces
from c2d_provider.api_server import connect
from c2d_provider.cluster import KubernetesCluster


async def race(kubeconfig: str, records: str, count: int, step: int) -> list[str]:
    addresses = [f"0x{number:040x}" for number in range(2, 2 + count)][::step]
    async with connect(20, kubeconfig) as api:
        cluster = KubernetesCluster(api, (), records, lambda _: False)
        await cluster.current_nonce(addresses[0])
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        asked = [
            cluster.use_nonce(address, nonces.parse("1"), nonces.use(address[2:] * 4, "GET /"))
            for address in addresses
        ]
        answers = await asyncio.gather(*asked)
    return [a for a, answer in zip(addresses, answers, strict=True) if answer is None]


if __name__ == "__main__":
    kubeconfig, records, count, step = sys.argv[1:]
    json.dump(asyncio.run(race(kubeconfig, records, int(count), int(step))), sys.stdout)
