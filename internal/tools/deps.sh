#!/bin/sh
# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the programs that tests and the demo use for a second opinion, when
# run as root where there is apt-get, and names them otherwise. fairlead itself
# runs none of them. With the argument "e2e" also what tests against a real control
# plane need.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=
need() { # program package
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need nft nftables
need conntrack conntrack
need ip iproute2
need iptables-nft iptables
need tcpdump tcpdump
need nsenter util-linux
need strace strace
need zsh zsh # with fish and bash: they complete names
need fish fish
[ -r /usr/share/bash-completion/bash_completion ] || missing="$missing bash-completion"
need chromium chromium # opens the status page and the site, as their readers do
if [ "${1:-}" = e2e ]; then
	need cc "gcc libc6-dev" # flannel's backend udp is in C
fi
if [ "${1:-}" = check ]; then
	need promtool prometheus # the rules of deploy/chart
	need hugo hugo           # the site of docs
	need runc runc           # the image, as a node runs it
	need skopeo skopeo       # the image, as people copy it
fi
if [ "${1:-}" = kubelet ]; then
	need runc runc
	need skopeo skopeo # as README pushes the image
fi
if [ "${1:-}" = kernels ]; then
	need qemu-system-x86_64 qemu-system-x86
	case " ${KERNELS:-} " in *" arm64 "*) need qemu-system-aarch64 qemu-system-arm ;; esac
	case " ${KERNELS:-} " in *" s390x "*) need qemu-system-s390x qemu-system-misc ;; esac
	need busybox busybox-static
	need cpio cpio
	need depmod kmod
	need xz xz-utils
fi
# Not in PATH: the CNI plugins, by the place where Debian or others put them.
[ -x /usr/lib/cni/ptp ] || [ -x /usr/libexec/cni/ptp ] || [ -x /opt/cni/bin/ptp ] ||
	missing="$missing containernetworking-plugins"

if [ -z "$missing" ]; then
	exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq || echo "apt-get update did not succeed; trying with the lists there are"
	# shellcheck disable=SC2086 # a list of words
	apt-get install -y -qq --no-install-recommends $missing && exit 0
fi
echo "not installed:$missing"
echo "What needs them is skipped. On Debian: sudo apt-get install$missing"
