"""What the local stack is made of: versions, addresses, folders."""

import os
from pathlib import Path

KUBERNETES_VERSION = "1.36.3"
AGNHOST_VERSION = "2.63.0"  # as upstream's end-to-end tests of that version ask for
ETCD_VERSION = "3.6.8"
COREDNS_VERSION = "1.15.0"
LOCAL_PATH_VERSION = "0.0.30"
VERSITYGW_VERSION = "1.8.0"
ANVIL_VERSION = "1.7.1"  # as in hack/chain/package.json
KUBO_VERSION = "0.43.0"  # the newest one without replaced modules
ARLOCAL_VERSION = "1.1.66"  # as in hack/arweave/package.json
GO_VERSION = "1.26.8"  # the API server's /openapi/v2 breaks when it is compiled with Go 1.27

REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL = REPOSITORY / ".local"
ADMIN_KUBECONFIG = LOCAL / "keys" / "admin.kubeconfig"
EXTERNAL = LOCAL / "external"  # of a stack in a cluster that is not ours
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "c2d"

NODE_NAME = "c2d-local"
HOST_ADDRESS = "10.89.0.1"
NODE_ADDRESS = "10.89.0.2"
LINK_PREFIX_LENGTH = 24
POD_RANGE = "10.88.0.0/16"
POD_RANGE_6 = "fd00:10:88::/64"  # where the machine has IPv6
SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
PROVIDER_ADDRESS = "10.96.0.80"  # a Service's, so that the machine and pods reach it alike
REGISTRY_PORT = 5000
STORE_PORT = 7070
FILES_PORT = 8080
RPC_PORT = 8545
