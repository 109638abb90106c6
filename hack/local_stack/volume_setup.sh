#!/bin/sh
# Makes a volume of $VOL_SIZE_BYTES bytes at $VOL_DIR: a file system in a sparse file beside it.
# It may be run again. Nothing outlives the mount, which is the loop device's only use.
set -eu
image=$VOL_DIR.ext4
if mountpoint -q "$VOL_DIR"; then exit 0; fi
mkdir -p "$VOL_DIR"
truncate -s "$VOL_SIZE_BYTES" "$image"
mkfs.ext4 -q -F -m 0 -b 4096 -O ^has_journal,^resize_inode -E lazy_itable_init=1,nodiscard "$image"

# One at a time: a device that is free belongs to nobody yet. Others on this machine may take it
# all the same. A container has no nodes of devices that are younger than itself.
exec 9<"${VOL_DIR%/*}"
flock 9
attempts=0
while :; do
  device=$(losetup --find)
  [ -b "$device" ] || mknod "$device" b 7 "${device#/dev/loop}" || [ -b "$device" ]
  if mount -o loop,nodev,nosuid,noatime "$image" "$VOL_DIR"; then break; fi
  attempts=$((attempts + 1))
  [ "$attempts" -lt 5 ]
done
rmdir "$VOL_DIR/lost+found"
chmod 0777 "$VOL_DIR"
