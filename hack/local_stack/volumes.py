"""Volumes of a real size: a file system in a sparse file, mounted over each volume's folder.

local-path-provisioner gives the folders; its helper pod makes and removes what lies in them, by
the scripts beside this module. The mounts are in the node's mount table alone, and the kernel
lets a loop device go with its last mount: what ends the node ends them all.
"""

import time
from pathlib import Path

from local_stack.console import StackError
from local_stack.processes import run

SETUP = Path(__file__).with_name("volume_setup.sh")
TEARDOWN = Path(__file__).with_name("volume_teardown.sh")
_RELEASE_LIMIT = 20.0
_POLL_SECONDS = 0.05


def helper_pod(image: str) -> dict[str, object]:
    """Describe the pod that runs the scripts; what it mounts is mounted on the node, too."""
    container = {
        "name": "helper-pod",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"name": "data", "mountPath": "/volumes", "mountPropagation": "Bidirectional"}
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }


def wait_for_release(folder: Path, log: Path) -> None:
    """Wait until no loop device holds a file of this folder, once nothing runs that uses one."""
    end = time.monotonic() + _RELEASE_LIMIT
    while held := devices(folder, log):
        if time.monotonic() > end:
            raise StackError(f"Loop devices that still hold volumes: {', '.join(held)}")
        time.sleep(_POLL_SECONDS)


def devices(folder: Path, log: Path) -> list[str]:
    """List the loop devices with a file of this folder.

    They are told by its inode: the path that they name is that of the pod which began them.
    """
    inodes = {one.stat().st_ino for one in folder.glob("*.ext4")}
    if not inodes:
        return []
    columns = "--output=NAME,BACK-INO"
    listed = run(["losetup", "--list", "--noheadings", "--raw", columns], log=log)
    rows = [line.split() for line in listed.splitlines()]
    return [name for name, inode in rows if int(inode) in inodes]
