#!/usr/bin/env bash
# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs tests on other kernels, and on other architectures, than the one that is running:
# boots Debian's kernels in qemu, by software emulation, and runs the test binaries of
# packages there. The root of a guest is this machine's root, read-only, or for another
# architecture one of Debian's packages for it. Only the results outlive the guest.
#
#   internal/tools/kernels.sh KERNEL... -- PACKAGE...     for example: 6.12 s390x -- ./nat ./overlay/keeper
#   KERNEL is a version of this architecture, or arm64 or s390x: Debian's kernel for it
#   PACKAGE may end with :REGEXP, the tests of it to run instead of those of RUN
#   RUN=regexp, MEMORY=MB, TIMEOUT=seconds for each kernel, TESTTIMEOUT=seconds for each package,
#   ACCEL=kvm where the machine has a KVM that works
#
# Needs apt-get with Debian's archive, and as programs qemu-system-x86_64 (or that of the
# other architecture), busybox, cpio and depmod; deps.sh kernels installs them.
# Results: bin/kernels/KERNEL.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$root/bin/kernels
: "${RUN:=.}" "${ACCEL:=tcg}" "${MEMORY:=4096}" "${TIMEOUT:=7200}" "${TESTTIMEOUT:=3600}"

versions=() packages=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do versions+=("$1"); shift; done
shift || true
packages=("$@")
if [ ${#versions[@]} -eq 0 ] || [ ${#packages[@]} -eq 0 ]; then
	sed -n '6,20s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi

# fetch unpacks a kernel into bin/kernels/KERNEL, unless it is there.
fetch() {
	if [ -n "$(compgen -G "$work/$1/boot/vmlinu[xz]-*")" ]; then return; fi
	echo "fetching the kernel $1"
	mkdir -p "$work/$1"
	case $1 in
	[0-9]*) fetch_kernel "$1" ;;
	*) fetch_root "$1" ;;
	esac
}

# fetch_kernel unpacks the newest kernel of a version. Images for clouds have no 9p, and
# those for real time are something else.
fetch_kernel() {
	local version=$1 dir=$work/$1 package
	package=$(apt-cache search --names-only "^linux-image-${version//./\\.}\\.[0-9][0-9.+a-z-]*-amd64\$" |
		awk '{print $1}' | grep -vE -- '-(cloud|rt)-' | sort -V | tail -1)
	[ -n "$package" ] || { echo "Debian's archive has no kernel $version: run apt-get update, or choose another one" >&2; exit 1; }
	(cd "$dir" && apt-get download -qq "$package" && dpkg -x ./*.deb . && rm ./*.deb)
}

# fetch_root unpacks another architecture's newest kernel and the programs that tests run,
# by package lists of its own. Nothing of it runs on this machine.
fetch_root() {
	local arch=$1 dir=$work/$1 t=$work/$1.apt apt deb kernel packages program
	rm -rf "$t"
	mkdir -p "$t"/{state/lists/partial,cache/archives/partial,debs}
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $(. /etc/os-release && echo "$VERSION_CODENAME") main" >"$t/sources.list"
	apt=(-qq -o "Dir::Etc::sourcelist=$t/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State=$t/state" -o Dir::State::status=/dev/null
		-o "Dir::Cache=$t/cache" -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o APT::Sandbox::User=root)
	apt-get "${apt[@]}" update
	kernel=$(apt-cache "${apt[@]}" search --names-only "^linux-image-[0-9].*-$arch\$" | awk '{print $1}' | grep -vE -- '-(cloud|rt|dbg)-' | sort -V | tail -1)
	# A simulated installation into nothing names all packages that the programs need.
	mapfile -t packages < <(apt-get "${apt[@]}" -s --no-install-recommends install bash coreutils busybox-static containernetworking-plugins conntrack \
		ethtool findutils grep iproute2 iptables kmod mawk mount nftables procps sed strace tar tcpdump util-linux | awk '/^Inst / { print $2 }')
	(cd "$t/debs" && apt-get "${apt[@]}" download "$kernel" "${packages[@]}")
	for deb in "$t"/debs/*.deb; do dpkg -x "$deb" "$dir"; done
	rm -rf "$t"
	# What the installation of these packages would have made.
	for program in {ip,ip6}tables{,-save,-restore}; do ln -sf xtables-nft-multi "$dir/usr/sbin/$program"; done
	ln -sf mawk "$dir/usr/bin/awk"
	echo 'root:x:0:0:root:/root:/bin/bash' >"$dir/etc/passwd"
	echo 'root:x:0:' >"$dir/etc/group"
	mkdir -p "$dir/modules" "$dir/results" "$dir/tree"
}

# prepare unpacks the modules, without those of hardware that qemu does not have, since
# depmod and the guest read all of them.
prepare() {
	local dir=$work/$1 modules release d
	modules=$(compgen -G "$dir/lib/modules/*" || compgen -G "$dir/usr/lib/modules/*")
	release=${modules##*/}
	if [ -e "$modules/.prepared" ]; then return; fi
	rm -rf "$modules/kernel/sound"
	for d in "$modules"/kernel/drivers/*; do
		case ${d##*/} in net | virtio | block | char) ;; *) rm -rf "$d" ;; esac
	done
	for d in ethernet wireless usb can phy dsa; do rm -rf "$modules/kernel/drivers/net/$d"; done
	find "$modules" -name '*.ko.xz' -print0 | xargs -0 -r -n 50 xz -d
	mkdir -p "$dir/base/lib/modules"
	ln -sfn "$modules" "$dir/base/lib/modules/$release"
	depmod -b "$dir/base" "$release" 2>/dev/null || true
	touch "$modules/.prepared"
}

# initrd writes an initramfs that mounts this machine's root read-only over 9p below a
# tmpfs, and goes on there. $3 is the directory that the guest may write results to.
initrd() {
	local dir=$work/$1 out=$2 release n=0 want f tmp
	release=$(basename "$dir"/base/lib/modules/*)
	tmp=$(mktemp -d)
	mkdir -p "$tmp"/{bin,m,proc,sys,dev,new,lower,rw}
	case $1 in
	[0-9]*) cp "$(command -v busybox)" "$tmp/bin/busybox" ;;
	*) cp "$dir/bin/busybox" "$tmp/bin/busybox" ;;
	esac
	for want in virtio_pci 9pnet_virtio 9p overlay virtio_rng; do
		while read -r f; do # in the order in which they need each other
			if [ ! -e "$f" ] || compgen -G "$tmp/m/*-${f##*/}" >/dev/null; then continue; fi
			n=$((n + 1))
			cp "$f" "$tmp/m/$(printf %03d $n)-${f##*/}"
		done < <(modprobe -d "$dir/base" -S "$release" --show-depends "$want" 2>/dev/null | sed -n 's/^insmod \(.*\.ko\).*/\1/p')
	done
	cat >"$tmp/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
for f in /m/*; do insmod $f || echo "insmod $f failed"; done
o=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $o,ro,cache=loose host /lower || echo "the root is not there"
mount -t tmpfs -o size=90% none /rw; mkdir /rw/u /rw/w
mount -t overlay -o lowerdir=/lower,upperdir=/rw/u,workdir=/rw/w none /new
mkdir -p /new/results /new/modules /new/run /new/tmp /new/lib/modules
mount -t 9p -o $o results /new/results
mount -t 9p -o $o,ro,cache=loose modules /new/modules
rm -rf /new/lib/modules/$(uname -r); ln -s /modules /new/lib/modules/$(uname -r)
for d in proc sys dev; do mount -o move /$d /new/$d; done
mount -t tmpfs none /new/run; mkdir -p /new/run/netns /new/run/lock /new/dev/pts /new/dev/shm
mount -t tmpfs none /new/dev/shm; mount -t devpts none /new/dev/pts
mount -t cgroup2 none /new/sys/fs/cgroup
ln -sf /proc/self/fd /new/dev/fd
exec switch_root /new /bin/bash /results/guest
EOF
	chmod +x "$tmp/init"
	(cd "$tmp" && find . | cpio -o -H newc --quiet) | gzip -1 >"$out"
	rm -rf "$tmp"
}

# guest is what runs in the machine, as the child of its first process. The first
# process powers off: it is the shell that stays and reaps.
guest() {
	cat <<EOF
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb USER=root LC_ALL=C.UTF-8 CI=
export FAIRLEAD_DISPOSABLE=1 # the guest's clock may be set
ip link set lo up
echo /sbin/modprobe >/proc/sys/kernel/modprobe
ulimit -n 65536
# The tests' user namespaces cannot force the size of a socket's buffer.
echo 8388608 | tee /proc/sys/net/core/{r,w}mem_max >/dev/null
mkdir -p /tree && tar -x -C /tree -f /results/tree.tar
# What a user namespace cannot load by itself.
modprobe -a br_netfilter vxlan nf_tables nf_conntrack ip_tables ip6_tables
(
	echo "kernel \$(uname -r) on \$(uname -m), \$(nft --version)"
	for package in $(printf "%q " "$@"); do
		run='$RUN'
		case \$package in *:*) run=\${package#*:} package=\${package%%:*} ;; esac
		name=\$(echo \$package | tr -c 'a-zA-Z0-9\n' '-')
		# From memory: each page of a program would come over 9p otherwise.
		cp /results/\$name.test /tmp/test
		cd /tree/\$package
		echo "=== \$package"
		timeout -k 10 $((TESTTIMEOUT + 60)) /tmp/test -test.timeout ${TESTTIMEOUT}s -test.run "\$run" -test.v 2>&1
		printf '\n=== %s ended with %s\n' \$package \$?
	done
) </dev/null >/results/out 2>&1
echo done >>/results/out
sync
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
EOF
}

# machine sets the words of qemu's command that depend on the architecture of a kernel.
machine() {
	root=$work/$1 bus=pci goarch=$1
	case $1 in
	arm64) qemu=(qemu-system-aarch64 -M virt -cpu "max,pauth-impdef=on") console=ttyAMA0 ;;
	s390x) qemu=(qemu-system-s390x -M s390-ccw-virtio -cpu max) console=ttysclp0 bus=ccw ;;
	[0-9]*)
		# On a busy machine no tick comes within the time in which the kernel checks its timer, and
		# it panics without no_timer_check.
		root=/ goarch=amd64 qemu=(qemu-system-x86_64) console="ttyS0 nokaslr tsc=reliable no_timer_check"
		# qemu's cmpxchg16b spoils flags now and then when it is emulated, and the kernel
		# panics then; without the feature it takes a lock.
		if [ "$ACCEL" = kvm ]; then qemu+=(-cpu host); else qemu+=(-cpu "max,-cx16"); fi
		;;
	*) echo "no kernel is known as $1" >&2 && exit 2 ;;
	esac
}

# boot runs all packages on one kernel, and returns 1 unless each of them ended with 0.
boot() {
	local version=$1 dir=$work/$1 results modules root bus goarch qemu console
	machine "$version"
	results=$(mktemp -d)
	for package in "${packages[@]}"; do
		package=${package%%:*}
		CGO_ENABLED=0 GOARCH=$goarch go test -c -o "$results/$(echo "$package" | tr -c 'a-zA-Z0-9\n' '-').test" "$package"
	done
	# The tests read files beside them, which must not change meanwhile.
	git ls-files -z --cached --others --exclude-standard -- ':!bench' | xargs -0 tar -c --ignore-failed-read -f "$results/tree.tar" 2>/dev/null
	guest "${packages[@]}" >"$results/guest"
	initrd "$version" "$dir/initrd"
	modules=$(readlink -f "$dir"/base/lib/modules/*)
	echo "booting $version ($ACCEL)"
	timeout -k 5 "$TIMEOUT" "${qemu[@]}" -accel "$ACCEL" -smp 1 -m "$MEMORY" -nographic -no-reboot -nodefaults -serial stdio -monitor none \
		-kernel "$(compgen -G "$dir/boot/vmlinu[xz]-*" | head -1)" -initrd "$dir/initrd" \
		-append "console=$console quiet loglevel=3 panic=-1 mitigations=off audit=0" \
		-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-$bus,rng=r \
		-fsdev local,id=host,path="$root",security_model=none,readonly=on,multidevs=remap -device virtio-9p-$bus,fsdev=host,mount_tag=host \
		-fsdev local,id=modules,path="$modules",security_model=none,readonly=on -device virtio-9p-$bus,fsdev=modules,mount_tag=modules \
		-fsdev local,id=results,path="$results",security_model=none -device virtio-9p-$bus,fsdev=results,mount_tag=results \
		</dev/null >"$results/console" 2>&1 || true
	cp "$results/out" "$work/$version.txt" 2>/dev/null || { cat "$results/console"; rm -rf "$results"; return 1; }
	if [ "$(tail -1 "$results/out")" != 'done' ]; then
		echo "the kernel $version did not come to an end:" && tail -20 "$results/console"
	fi
	rm -rf "$results"
	awk -v version="$version" '
		/^--- PASS/ { pass++ } /^--- FAIL/ { fail++; print } /^--- SKIP/ { skip++ }
		/^testing: warning: no tests to run/ { bad++; print "RUN matches no test" }
		/^=== .* ended with / { ends++; if ($NF != 0) { bad++; print } }
		END { printf "%s: %d tests passed, %d failed, %d skipped\n", version, pass, fail, skip; exit ends == '${#packages[@]}' && !bad && !fail ? 0 : 1 }' "$work/$version.txt"
}

mkdir -p "$work"
failed=0
for version in "${versions[@]}"; do
	fetch "$version"
	prepare "$version"
	boot "$version" || failed=1
done
exit $failed
