// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

var tree = Tree{Root: DefaultRoot}

// do runs f inside ns and ends the test on its error.
func do(t *testing.T, ns *netns.NS, f func() error) {
	t.Helper()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

func put(path, value string) error { return tree.write(Setting{Path: path, Want: value}) }

// TestApply on the kernel: once, and nothing the second time.
func TestApply(t *testing.T) {
	do(t, nstest.New(t), func() error {
		if err := errors.Join(put("net/ipv4/ip_forward", "0"), put("net/ipv6/conf/all/forwarding", "0"),
			put("net/ipv6/conf/default/disable_ipv6", "1")); err != nil {
			return err
		}
		needed := Needed(Config{IPv4: true, IPv6: true, Overlay: "no-such-device"})
		set, left := tree.Apply(needed)
		names := func(fs []Finding) (out []string) {
			for _, f := range fs {
				out = append(out, f.Name())
			}
			return out
		}
		if diff := cmp.Diff([]string{"net.ipv4.ip_forward", "net.ipv4.conf.default.forwarding", "net.ipv6.conf.all.forwarding"}, names(set)); diff != "" {
			t.Errorf("set (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"net.ipv6.conf.default.disable_ipv6", "net.ipv4.conf.no-such-device.rp_filter"}, names(left)); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
		for path, want := range map[string]string{"net/ipv4/ip_forward": "1\n", "net/ipv6/conf/all/forwarding": "1\n", "net/ipv6/conf/default/disable_ipv6": "1\n"} {
			if got, err := tree.Read(path); got != want {
				t.Errorf("%s is %q, %v", path, got, err)
			}
		}
		if set, _ := tree.Apply(needed); set != nil {
			t.Errorf("set again: %v", set)
		}
		return nil
	})
}

// TestApplyReadOnly mounts /proc/sys read-only, as container runtimes do.
func TestApplyReadOnly(t *testing.T) {
	nstest.Need(t)
	root := filepath.Join(t.TempDir(), "sys")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(DefaultRoot, root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(root, unix.MNT_DETACH) }()
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		t.Fatal(err)
	}
	// A user namespace may not drop the flags that the mount came with.
	locked := uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME | unix.MS_NOATIME)
	if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked, ""); err != nil {
		t.Fatal(err)
	}
	do(t, nstest.New(t), func() error {
		if err := put("net/ipv4/ip_forward", "0"); err != nil {
			return err
		}
		set, left := Tree{Root: root}.Apply(Needed(Config{IPv4: true})[:1])
		if len(set) != 0 || len(left) != 1 || !errors.Is(left[0].Err, syscall.EROFS) {
			t.Errorf("set %v, left %v", set, left)
		}
		return nil
	})
}

// TestRouterAdvertised: the default route from a router survives Apply, and
// would not have survived forwarding alone.
func TestRouterAdvertised(t *testing.T) {
	for _, tt := range []struct {
		name  string
		apply bool
	}{{"applied", true}, {"forwarding alone", false}} {
		t.Run(tt.name, func(t *testing.T) {
			node, router := nstest.New(t), nstest.New(t)
			connect(t, node, router)
			advertise(t, router)
			devices := await(t, node, []string{"eth0"})
			if len(devices) != 1 {
				t.Fatalf("the advertisement made no route: %v", devices)
			}
			do(t, node, func() error {
				if !tt.apply {
					return put("net/ipv6/conf/all/forwarding", "1")
				}
				set, left := tree.Apply(Needed(Config{IPv6: true, RouterAdvertised: devices}))
				if len(set) != 2 || len(left) != 0 {
					t.Errorf("set %v, left %v", set, left)
				}
				return nil
			})
			if tt.apply {
				if got, err := RouterAdvertised(node.Fd()); len(got) != 1 || err != nil {
					t.Errorf("the route is gone: %v, %v", got, err)
				}
			} else if got := await(t, node, nil); len(got) != 0 {
				t.Errorf("the route stayed, so that accept_ra is not needed: %v", got)
			}
		})
	}
}

// connect makes a veth from eth0 of the node to eth0 of the router.
func connect(t *testing.T, node, router *netns.NS) {
	t.Helper()
	for _, ns := range []*netns.NS{node, router} {
		do(t, ns, func() error {
			return errors.Join(put("net/ipv6/conf/default/accept_dad", "0"), put("net/ipv6/conf/all/forwarding", "0"),
				put("net/ipv6/conf/default/accept_ra", "1"))
		})
	}
	do(t, node, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(router.Fd()),
		})
	})
	for _, ns := range []*netns.NS{node, router} {
		do(t, ns, func() error {
			link, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return netlink.LinkSetUp(link)
		})
	}
}

// advertise sends a router advertisement (RFC 4861, 4.2) to all nodes, again and
// again until t ends.
func advertise(t *testing.T, router *netns.NS) {
	t.Helper()
	var fd int
	to := &unix.SockaddrInet6{Addr: [16]byte{0xff, 2, 15: 1}}
	do(t, router, func() (err error) {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		to.ZoneId = uint32(link.Attrs().Index)
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255)
	})
	message := make([]byte, 16)
	message[0], message[4] = 134, 64
	binary.BigEndian.PutUint16(message[6:], 1800) // seconds
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			_ = unix.Sendto(fd, message, 0, to) // until the link is ready
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; _ = unix.Close(fd) })
}

// await waits until the devices are as wanted, and returns them.
func await(t *testing.T, ns *netns.NS, want []string) []string {
	t.Helper()
	var got []string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var err error
		if got, err = RouterAdvertised(ns.Fd()); err != nil {
			t.Fatal(err)
		}
		if len(got) == len(want) {
			break
		}
	}
	return got
}
