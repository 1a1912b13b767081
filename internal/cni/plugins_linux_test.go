// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// patience is how long the kernel may take: duplicate address detection alone
// takes it one to two seconds.
const patience = 20 * time.Second

// engine stands in for containerd: it runs the real plugins on a node.
type engine struct {
	node *netns.NS
	list *libcni.NetworkConfigList
	cni  *libcni.CNIConfig
	data string // what host-local keeps
}

// newEngine reads the conflist from a directory, as a runtime does.
func newEngine(t testing.TB, c Config) *engine {
	t.Helper()
	nstest.Need(t)
	bin := pluginDir(t, c.Plugins())
	c.DataDir = filepath.Join(t.TempDir(), "ipam")
	text, err := c.Conflist()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), DefaultFile)
	if _, err := Install(file, text); err != nil {
		t.Fatal(err)
	}
	list, err := libcni.NetworkConfFromFile(file)
	if err != nil {
		t.Fatalf("libcni refuses the conflist: %v", err)
	}
	r := &engine{node: nstest.New(t), list: list, data: filepath.Join(c.DataDir, list.Name)}
	r.cni = libcni.NewCNIConfigWithCacheDir([]string{bin}, t.TempDir(), nil)
	err = r.node.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetUp(lo), noDAD())
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// noDAD makes IPv6 addresses usable at once, so that tests take less long.
func noDAD() error { return os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0) }

// pluginDir is where distributions put the plugins.
func pluginDir(t testing.TB, plugins []string) string {
	t.Helper()
	for _, dir := range []string{"/usr/lib/cni", "/usr/libexec/cni", DefaultBinDir} {
		if len(Missing(dir, plugins)) == 0 {
			return dir
		}
	}
	nstest.Skip(t, fmt.Sprintf("the plugins %v are not installed (containernetworking-plugins)", plugins))
	return ""
}

// pod is a namespace that was connected by CNI ADD.
type pod struct {
	*netns.NS
	rt    *libcni.RuntimeConf
	addrs []netip.Addr // in the order of the conflist
}

// add makes a pod. The plugins run inside the node's namespace.
func (r *engine) add(ctx context.Context, t testing.TB, name string) *pod {
	t.Helper()
	ns := nstest.New(t)
	p := &pod{NS: ns, rt: &libcni.RuntimeConf{
		ContainerID: name, IfName: "eth0", NetNS: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd()),
	}}
	err := errors.Join(ns.Do(noDAD), r.node.Do(func() error {
		res, err := r.cni.AddNetworkList(ctx, r.list, p.rt)
		if err != nil {
			return err
		}
		result, err := types100.NewResultFromResult(res)
		if err != nil {
			return err
		}
		for _, ip := range result.IPs {
			addr, _ := netip.AddrFromSlice(ip.Address.IP)
			p.addrs = append(p.addrs, addr.Unmap())
		}
		return nil
	}))
	if err != nil {
		t.Fatalf("ADD %s: %v", name, err)
	}
	return p
}

func (r *engine) del(ctx context.Context, t testing.TB, p *pod) {
	t.Helper()
	if err := r.node.Do(func() error { return r.cni.DelNetworkList(ctx, r.list, p.rt) }); err != nil {
		t.Fatalf("DEL %s: %v", p.rt.ContainerID, err)
	}
}

// serve answers TCP connections to port 80 with the client's address, until t ends.
func serve(t testing.TB, ns *netns.NS) {
	t.Helper()
	for _, network := range []string{"tcp4", "tcp6"} { // "tcp" depends on what the first namespace can do
		var l net.Listener
		if err := ns.Do(func() (err error) { l, err = net.Listen(network, ":80"); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go answer(l)
	}
}

func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		who, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		_, _ = fmt.Fprint(c, who.Addr().Unmap())
		_ = c.Close()
	}
}

// dial returns the address that the server saw. It tries until patience ends.
func dial(ns *netns.NS, to netip.AddrPort) (string, error) {
	var answer string
	err := ns.Do(func() error {
		var last error
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			var c net.Conn
			if c, last = net.DialTimeout("tcp", to.String(), 2*time.Second); last != nil {
				continue
			}
			buf := make([]byte, 64)
			n, err := c.Read(buf)
			_ = c.Close()
			if err == nil {
				answer = string(buf[:n])
				return nil
			}
			last = err
		}
		return last
	})
	return answer, err
}

// TestPlugins makes pods with the real plugins, reaches each from the other and
// from the node, and removes them.
func TestPlugins(t *testing.T) {
	for _, plugin := range []Plugin{PTP, Bridge} {
		t.Run(string(plugin), func(t *testing.T) {
			t.Parallel()
			r := newEngine(t, Config{Plugin: plugin, PodCIDRs: prefixes("10.244.1.0/24", "fd00:10:244:1::/64"), MTU: 1450})
			a, b := r.add(t.Context(), t, "a"), r.add(t.Context(), t, "b")
			for _, p := range []*pod{a, b} {
				if len(p.addrs) != 2 || !p.addrs[0].Is4() || !p.addrs[1].Is6() {
					t.Fatalf("addresses %v", p.addrs)
				}
				serve(t, p.NS)
				checkLink(t, p)
			}
			serve(t, r.node)
			for i, from := range a.addrs {
				to := b.addrs[i]
				if got, err := dial(a.NS, netip.AddrPortFrom(to, 80)); got != from.String() {
					t.Errorf("%s to %s: %q, %v", from, to, got, err)
				}
				if _, err := dial(r.node, netip.AddrPortFrom(to, 80)); err != nil {
					t.Errorf("the node to %s: %v", to, err)
				}
				gateway := map[bool]string{true: "10.244.1.1", false: "fd00:10:244:1::1"}[to.Is4()]
				if got, err := dial(a.NS, netip.AddrPortFrom(netip.MustParseAddr(gateway), 80)); got != from.String() {
					t.Errorf("%s to the node: %q, %v", from, got, err)
				}
			}
			r.del(t.Context(), t, a)
			r.del(t.Context(), t, a) // as runtimes do
			checkGone(t, r, a)
			r.del(t.Context(), t, b)
			checkGone(t, r, b)
		})
	}
}

// checkLink checks a pod's device and default routes.
func checkLink(t *testing.T, p *pod) {
	t.Helper()
	err := p.Do(func() error {
		link, err := netlink.LinkByName(p.rt.IfName)
		if err != nil {
			return err
		}
		if got := link.Attrs().MTU; got != 1450 {
			t.Errorf("MTU is %d", got)
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_DST)
			if err != nil {
				return err
			}
			if len(routes) != 1 || routes[0].Gw == nil {
				t.Errorf("default routes of family %d: %v", family, routes)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// checkGone: the pod has no device, the node no route to it, host-local no note.
func checkGone(t *testing.T, r *engine, p *pod) {
	t.Helper()
	h, err := netlink.NewHandleAt(vnetns.NsHandle(p.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if link, err := h.LinkByName(p.rt.IfName); err == nil {
		t.Errorf("%s still has %v", p.rt.ContainerID, link)
	}
	for _, addr := range p.addrs {
		if _, err := os.Stat(filepath.Join(r.data, addr.String())); !os.IsNotExist(err) {
			t.Errorf("%s is still taken: %v", addr, err)
		}
		err := r.node.Do(func() error {
			routes, err := netlink.RouteListFiltered(family(addr), &netlink.Route{Dst: &net.IPNet{
				IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen()),
			}}, netlink.RT_FILTER_DST)
			if len(routes) > 0 {
				t.Errorf("routes are left: %v", routes)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
