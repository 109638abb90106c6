"""The servers beside the cluster: image registry, S3 store, files for loaders to fetch."""

import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from local_stack import settings
from local_stack.daemons import Daemons
from local_stack.processes import wait_until

BUCKET = "c2d-results"
REGION = "us-east-1"
_READY_LIMIT = 30.0


@dataclass(frozen=True)
class Store:
    """Where results go, and the keys that open it."""

    url: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Files:
    """A folder of this machine and the URL under which pods find it."""

    folder: Path
    url: str


def ensure_registry(daemons: Daemons) -> str:
    """Run the image registry; its content is kept in the cache from one stack to the next."""
    address = f"{settings.NODE_ADDRESS}:{settings.REGISTRY_PORT}"
    config = daemons.folder / "registry.json"
    content = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(settings.CACHE / "registry")}},
        "http": {"addr": address},
    }
    config.write_text(json.dumps(content))
    daemons.ensure("registry", ["docker-registry", "serve", config], files=[config])
    _wait(daemons, "registry", settings.NODE_ADDRESS, settings.REGISTRY_PORT)
    return address


def ensure_store(daemons: Daemons, address: str, port: int, program: Path) -> Store:
    """Run the S3 server, with keys of this stack's own, and make the bucket for results."""
    data, keys = daemons.folder / "store", daemons.folder / "keys" / "store"
    (data / BUCKET).mkdir(parents=True, exist_ok=True)
    if not keys.exists():
        unfinished = keys.with_suffix(".new")
        unfinished.parent.mkdir(mode=0o700, exist_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(f"{secrets.token_hex(10)} {secrets.token_hex(20)}")
        unfinished.rename(keys)
    access_key, secret_key = keys.read_text().split()
    daemons.ensure(
        "store",
        [program, "--port", f"{address}:{port}", "--region", REGION, "posix", data],
        env={"ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key},
    )
    _wait(daemons, "store", address, port)
    endpoint = f"http://{address}:{port}"
    return Store(f"s3://{BUCKET}/", endpoint, REGION, access_key, secret_key)


def ensure_files(daemons: Daemons, address: str, port: int) -> Files:
    """Serve a folder by HTTP, with ranges."""
    folder = daemons.folder / "files"
    folder.mkdir(exist_ok=True)
    scratch = daemons.folder / "nginx"
    scratch.mkdir(exist_ok=True)
    config = daemons.folder / "nginx.conf"
    config.write_text(nginx_config(f"{address}:{port}", folder, scratch))
    nginx: list[str | Path] = ["/usr/sbin/nginx", "-e", "stderr", "-p", scratch, "-c", config]
    daemons.ensure("files", nginx, files=[config])
    _wait(daemons, "files", address, port)
    return Files(folder, f"http://{address}:{port}")


def nginx_config(listen: str, folder: Path, scratch: Path) -> str:
    """Write what nginx needs to serve a folder by HTTP."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {scratch / kind};" for kind in kinds)
    return f"""\
daemon off;
user root;
pid {scratch / "pid"};
error_log stderr warn;
events {{}}
http {{
  access_log off;
  sendfile on;
  {paths}
  server {{
    listen {listen};
    root {folder};
  }}
}}
"""


def _wait(daemons: Daemons, name: str, address: str, port: int) -> None:
    wait_until(
        lambda: accepts(address, port),
        f"{name} does not listen on {address}:{port}",
        limit=_READY_LIMIT,
        log=daemons.log(name),
        alive=lambda: daemons.alive(name),
    )


def accepts(address: str, port: int) -> bool:
    """Say whether somebody listens there."""
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
