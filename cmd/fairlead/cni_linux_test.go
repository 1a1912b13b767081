// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/cni"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
)

// cniConfig is a cluster whose pods are made by plugins, in subnets that only the
// overlay joins.
func cniConfig(t testing.TB, plugin cni.Plugin) lab.Config {
	t.Helper()
	nstest.Need(t)
	return lab.Config{
		Nodes: 2, IPv6: true, NoPodRoutes: true, Subnets: true,
		PodLink: lab.CNI, CNIDir: t.TempDir(), CNIBinDir: labtest.Plugins(t, cni.Config{Plugin: plugin}.Plugins()...),
	}
}

func conflistFile(n *lab.Node) string { return filepath.Join(n.CNIConfDir(), cni.DefaultFile) }

// absent fails if a conflist appears within a time in which an agent looks six
// times whether it should write one.
func absent(t testing.TB, n *lab.Node, why string) {
	t.Helper()
	for range 30 {
		if _, err := os.Stat(conflistFile(n)); err == nil {
			t.Fatalf("there is a conflist, but %s", why)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// conflist returns what the tests look at.
func conflist(n *lab.Node) (mtu int, cidrs []string, err error) {
	text, err := os.ReadFile(conflistFile(n))
	if err != nil {
		return 0, nil, err
	}
	var c struct {
		Plugins []struct {
			MTU  int
			IPAM struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return 0, nil, err
	}
	for _, r := range c.Plugins[0].IPAM.Ranges {
		cidrs = append(cidrs, r[0].Subnet)
	}
	return c.Plugins[0].MTU, cidrs, nil
}

// isTunnel reports whether a device is there, is of the overlay and is up.
func isTunnel(n *lab.Node, name string) error {
	link, err := n.Netlink().LinkByName(name)
	if err != nil {
		return err
	}
	if link.Type() != "vxlan" || link.Attrs().Flags&1 == 0 {
		return fmt.Errorf("%s is of type %s, flags %v", name, link.Type(), link.Attrs().Flags)
	}
	return nil
}

// hasRoutes reports whether a node has routes to all pods of another.
func hasRoutes(n, to *lab.Node) error {
	for _, cidr := range to.PodCIDRs {
		routes, err := n.Netlink().RouteGet(cidr.Addr().Next().AsSlice())
		if err != nil {
			return err
		}
		link, err := n.Netlink().LinkByIndex(routes[0].LinkIndex)
		if err != nil || !strings.HasPrefix(link.Attrs().Name, "fairlead") {
			return fmt.Errorf("%s is reached by %v, %w", cidr, link, err)
		}
	}
	return nil
}

func hasTable(n *lab.Node) error {
	conn, err := nftables.New(nftables.WithNetNSFd(n.NS.Fd()))
	if err != nil {
		return err
	}
	_, err = conn.ListTableOfFamily("fairlead", nftables.TableFamilyINet)
	return err
}

// TestConflistComesLast: the file that lets pods start is written when the table,
// the tunnels and the routes are there, and not before.
func TestConflistComesLast(t *testing.T) {
	cfg := cniConfig(t, cni.PTP)
	w, err := world.NewEmpty(t.Context(), worldOf(t, cfg))
	testWorld(t, w, err)
	node, other := w.Cluster.Nodes[0], w.Cluster.Nodes[1]
	// A device of somebody else stands in the way of one of the tunnels.
	foreign := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "fairlead.1"}}
	if err := errors.Join(node.Netlink().LinkAdd(foreign), w.Write(w.Web), w.StartAgent(node)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the table is there", func() error { return hasTable(node) })
	absent(t, node, "there is no Node yet")

	if err := w.WriteNodes(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other tunnel is there", func() error { return isTunnel(node, "fairlead-v6.1") })
	absent(t, node, "one of the tunnels is missing")

	if err := node.Netlink().LinkDel(foreign); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a conflist", func() error { _, _, err := conflist(node); return err })
	if err := errors.Join(hasTable(node), isTunnel(node, "fairlead.1"), isTunnel(node, "fairlead-v6.1"), hasRoutes(node, other)); err != nil {
		t.Errorf("there is a conflist, but %v", err)
	}
}

// podMTU returns the MTU of a pod's eth0.
func podMTU(t testing.TB, p *lab.Pod) int {
	t.Helper()
	link, err := p.Netlink().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().MTU
}

// TestPodsByCNI makes pods as a container runtime does, by what the agents wrote,
// and dials from and to them.
func TestPodsByCNI(t *testing.T) {
	for _, plugin := range []cni.Plugin{cni.PTP, cni.Bridge} {
		t.Run(string(plugin), func(t *testing.T) {
			t.Parallel()
			testPodsByCNI(t, plugin)
		})
	}
}

func testPodsByCNI(t *testing.T, plugin cni.Plugin) {
	t.Helper()
	w, err := world.New(t.Context(), worldOf(t, cniConfig(t, plugin), "--cni-plugin", string(plugin)), 2)
	testWorld(t, w, err)
	first, second := w.Cluster.Nodes[0], w.Cluster.Nodes[1]
	near, far := w.Web.Endpoints[0].Pod, w.Web.Endpoints[1].Pod
	if got := podMTU(t, w.Client); got != 1430 {
		t.Errorf("MTU of pods is %d, want that of a tunnel over IPv6, 1430", got)
	}
	labtest.Serve(t, w.Cluster.Outside, 80, inet.TCP)
	if err := world.WriteManifest(w.Manifests, "pod.yaml", hostPortPod(far, 8081)); err != nil {
		t.Fatal(err)
	}
	for i, client := range w.Client.Addrs() {
		expect(t, w.Client.Host, far.Addrs()[i], world.WebPort, "web-2 saw "+client.String())
		for _, pod := range []*lab.Pod{near, far} { // in the end it is each one's turn
			expect(t, w.Client.Host, w.Web.ClusterIPs[i], w.Web.Port, pod.Name+" saw "+client.String())
		}
		outside := w.Cluster.Outside.Addrs()[i]
		expect(t, w.Client.Host, outside, 80, "outside saw "+first.Addrs()[i].String())
		expect(t, w.Cluster.Outside, second.Addrs()[i], 8081, "web-2 saw "+outside.String())
	}
	t.Run("conflist removed", func(t *testing.T) { conflistReturns(t, first) })
	t.Run("MTU", func(t *testing.T) { mtuChanges(t, first) })
	t.Run("no agent", func(t *testing.T) { podsWithoutAgent(t, w, first) })
	t.Run("podCIDR", func(t *testing.T) { podCIDRChanges(t, w, second) })
}

// hostPortPod is the Pod object of a pod that a port of its node leads to.
func hostPortPod(p *lab.Pod, port uint16) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default}
spec:
  nodeName: %s
  containers: [{name: web, image: web, ports: [{containerPort: %d, hostPort: %d}]}]
status:
  phase: Running
  podIP: "%[5]s"
  podIPs: [{ip: "%[5]s"}, {ip: "%[6]s"}]
`, p.Name, p.Node.Name, world.WebPort, port, p.Addr4, p.Addr6)
}

// conflistReturns: who removes the file gets the same one again.
func conflistReturns(t *testing.T, n *lab.Node) {
	t.Helper()
	before, err := os.ReadFile(conflistFile(n))
	if err := errors.Join(err, os.Remove(conflistFile(n))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the conflist is back", func() error {
		text, err := os.ReadFile(conflistFile(n))
		if err == nil && string(text) != string(before) {
			err = fmt.Errorf("it is another one: %s", text)
		}
		return err
	})
}

// mtuChanges: new pods get what fits into the node's link now.
func mtuChanges(t *testing.T, n *lab.Node) {
	t.Helper()
	link, err := n.Netlink().LinkByName("eth0")
	if err := errors.Join(err, n.Netlink().LinkSetMTU(link, 1400)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the conflist has the MTU 1330", func() error {
		mtu, _, err := conflist(n)
		if err == nil && mtu != 1330 {
			err = fmt.Errorf("it is %d", mtu)
		}
		return err
	})
	if got := podMTU(t, labtest.Pod(t, n, "small", 0)); got != 1330 {
		t.Errorf("MTU of a new pod is %d, want 1330", got)
	}
}

// podCIDRChanges: new pods get addresses of the new range, and are reached.
func podCIDRChanges(t *testing.T, w *world.World, n *lab.Node) {
	t.Helper()
	n.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.77.0/24"), netip.MustParsePrefix("fd00:10:244:77::/64")}
	if err := w.WriteNodes(); err != nil {
		t.Fatal(err)
	}
	want := world.JoinPrefixes(n.PodCIDRs)
	eventually(t, "the conflist has the ranges "+want, func() error {
		_, cidrs, err := conflist(n)
		if got := strings.Join(cidrs, ","); err == nil && got != want {
			err = errors.New(got)
		}
		return err
	})
	pod := labtest.Pod(t, n, "moved", 80, inet.TCP)
	for i, addr := range pod.Addrs() {
		if !n.PodCIDRs[i].Contains(addr) {
			t.Errorf("a new pod has %s, which is not in %s", addr, n.PodCIDRs[i])
		}
		expect(t, w.Client.Host, addr, 80, "moved saw "+w.Client.Addrs()[i].String())
	}
}

// podsWithoutAgent: an agent that ends, for an upgrade, say, takes nothing away.
// Pods start, are reached, and are removed.
func podsWithoutAgent(t *testing.T, w *world.World, n *lab.Node) {
	t.Helper()
	agent := w.Agents[n.Name]
	if err := agent.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Err(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	pod, err := n.AddPod("late")
	if err != nil {
		t.Fatal(err)
	}
	labtest.Serve(t, pod.Host, 80, inet.TCP)
	far := w.Web.Endpoints[1].Pod
	for i, addr := range pod.Addrs() {
		expect(t, far.Host, addr, 80, "late saw "+far.Addrs()[i].String())
		expect(t, pod.Host, far.Addrs()[i], world.WebPort, "web-2 saw "+addr.String())
	}
	if err := pod.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Netlink().LinkByName(pod.Device()); err == nil {
		t.Errorf("%s is left behind", pod.Device())
	}
	if err := w.StartAgent(n); err != nil {
		t.Fatal(err)
	}
}
