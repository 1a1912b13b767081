#!/usr/bin/env bash
# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks the nft of other Debian releases, with its libraries, into bin/nft/RELEASE
# without installing anything, and runs the tests of the table with each of them first in
# PATH: it lists our table without a word, in the words that the tests know, and reads the
# listing back. The tests fill small tables, since nft has no part in filling them.
#
#   internal/tools/nftversions.sh [RELEASE...]     trixie sid by default
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
[ $# -gt 0 ] || set -- trixie sid

for release in "$@"; do
	dir=$root/bin/nft/$release
	if [ -x "$dir/nft" ]; then continue; fi
	echo "fetching the nft of $release"
	rm -rf "$dir"
	mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,root,debs}
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $release main" >"$dir/sources.list"
	apt=(-qq -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State=$dir/state"
		-o Dir::State::status=/dev/null -o "Dir::Cache=$dir/cache" -o APT::Architecture=amd64 -o APT::Sandbox::User=root)
	apt-get "${apt[@]}" update
	# A simulated installation into nothing names all packages that nft needs.
	mapfile -t packages < <(apt-get "${apt[@]}" -s --no-install-recommends install nftables | awk '/^Inst / { print $2 }')
	(cd "$dir/debs" && apt-get "${apt[@]}" download "${packages[@]}")
	for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir/root"; done
	rm -rf "$dir"/{debs,state,cache}
	# Its own loader and C library, since those of this machine may be older.
	cat >"$dir/nft" <<EOF
#!/bin/sh
exec $dir/root/usr/lib64/ld-linux-x86-64.so.2 --library-path $dir/root/usr/lib/x86_64-linux-gnu $dir/root/usr/sbin/nft "\$@"
EOF
	chmod +x "$dir/nft"
	[ -e "$dir/root/usr/lib64/ld-linux-x86-64.so.2" ] || sed -i "s,/root/usr/lib64/,/root/lib64/," "$dir/nft"
	"$dir/nft" --version
done

failed=0
for release in "$@"; do
	echo "tests with $("$root/bin/nft/$release/nft" --version)"
	PATH=$root/bin/nft/$release:$PATH go test -short -count=1 ./nat/kernel ./nat || failed=1
done
exit $failed
