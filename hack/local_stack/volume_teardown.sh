#!/bin/sh
# Removes the volume at $VOL_DIR. It may be run again.
set -eu
while mountpoint -q "$VOL_DIR"; do umount --lazy "$VOL_DIR"; done
rm -rf "$VOL_DIR" "$VOL_DIR.ext4"
