# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# The first process of a node, in fresh mount and UTS namespaces and in the node's network
# namespace. It gives the node its own /sys, directories and host name, and runs containerd
# and kubelet until it gets a signal.
set -eu
echo $$ >"$CGROUP/cgroup.procs" # all that it starts ends with this cgroup
mount --make-rprivate /
hostname "$NAME"
mkdir -p "$DIR/cgroup"
mount --rbind /sys/fs/cgroup "$DIR/cgroup"
mount -t sysfs sysfs /sys # of this network namespace
mount --rbind "$DIR/cgroup" /sys/fs/cgroup
umount -l "$DIR/cgroup"
for dir in /run/containerd /run/netns /run/fairlead /var/lib/containerd /var/lib/kubelet /var/lib/cni /etc/cni/net.d /opt/cni/bin /var/log/pods /var/log/containers; do
	mkdir -p "$dir" "$DIR/root$dir"
	mount --bind "$DIR/root$dir" "$dir"
done
# Where MicroK8s has its CNI directories.
mkdir -p /var/snap
mount -t tmpfs tmpfs /var/snap
for dir in args/cni-network opt/cni/bin; do mkdir -p "/var/snap/microk8s/current/$dir"; done
mount --bind /etc/cni/net.d /var/snap/microk8s/current/args/cni-network
mount --bind /opt/cni/bin /var/snap/microk8s/current/opt/cni/bin
mount --bind "$HOSTS" /etc/hosts
# Pods must not see the resolver of the machine.
: >"$DIR/resolv.conf"
mount --bind "$DIR/resolv.conf" "$(readlink -f /etc/resolv.conf)" || true
# The kubelet sets some settings of the whole machine. It reads here that they are set.
fake() {
	mkdir -p "$DIR/sysctl"
	echo "$2" >"$DIR/sysctl/$(echo "$1" | tr / .)"
	mount --bind "$DIR/sysctl/$(echo "$1" | tr / .)" "/proc/sys/$1"
}
fake vm/overcommit_memory 1
fake vm/panic_on_oom 0
fake kernel/panic 10
fake kernel/panic_on_oops 1
fake kernel/keys/root_maxkeys 1000000
fake kernel/keys/root_maxbytes 25000000
mount --make-rshared /

PATH=$BIN:$PATH
containerd --config "$DIR/containerd.toml" &
for i in $(seq 100); do
	ctr version >/dev/null 2>&1 && break
	sleep 0.2
done
for image in "$IMAGES"/*.tar; do ctr -n k8s.io images import --local "$image"; done
kubelet="$(dirname "$BIN")/node"
exec "$kubelet" kubelet --config "$DIR/kubelet.yaml" --kubeconfig "$KUBECONFIG" --hostname-override "$NAME" --node-ip "$IP" --root-dir /var/lib/kubelet
