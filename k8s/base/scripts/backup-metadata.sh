#!/usr/bin/env bash
# Writes one compressed dump of the metadata store and removes the oldest.
#   backup-metadata.sh FOLDER KEEP
# The password is in MYSQL_PWD, on no command line. A dump counts only once it is whole: mariadb-dump's last line says so.
set -euo pipefail
folder=${1:?backup-metadata.sh FOLDER KEEP: FOLDER is missing}
keep=${2:?backup-metadata.sh FOLDER KEEP: KEEP is missing}
[[ $keep =~ ^[1-9][0-9]*$ ]] || { echo "KEEP: must be a whole number from 1, got '$keep'." >&2; exit 2; }

umask 077
mkdir -p "$folder"
partial=$folder/.partial-metadata.sql.gz
trap 'rm -f "$partial"' EXIT
# One transaction: a consistent picture of InnoDB's tables while runs go on writing.
mariadb-dump --host=metadata-store --user=pipeline --single-transaction --quick metadata | gzip >"$partial"
last=$(gzip --decompress --stdout "$partial" | tail -n 1)
[[ $last == "-- Dump completed"* ]] || { echo "the dump is not whole; its last line: '$last'" >&2; exit 1; }
dump=$folder/metadata-$(date --utc +%Y%m%dT%H%M%SZ).sql.gz
mv "$partial" "$dump"
echo "wrote $dump"

dumps=("$folder"/metadata-*.sql.gz) # their names sort by time
for ((old = 0; old < ${#dumps[@]} - keep; old++)); do
  rm "${dumps[old]}"
  echo "removed ${dumps[old]}"
done
