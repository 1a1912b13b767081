// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
	"fairlead/proxier/resolve"
)

// The tests here repeat situations of docs/field-reports.md that no other test has.

// TestPacketFlowsSurviveRestart restarts the agent, first without a change, then
// with an endpoint more. UDP flows stay with their endpoint.
func TestPacketFlowsSurviveRestart(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, everyProtocol))
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.there))...)
	flows := b.flows(t, 1)
	reach(t, flows, "there")
	before := b.ids(t, flows...)
	for _, members := range [][]member{{ready(b.there)}, {ready(b.here), ready(b.there)}} {
		b.stop()
		b.put(t, slicesWith(1, everyProtocolPorts(), members...)...)
		b.start(t, defaults())
		b.sweep(t)
		reach(t, flows, "there")
		if diff := cmp.Diff(before, b.ids(t, flows...)); diff != "" {
			t.Errorf("flows (-before +after):\n%s", diff)
		}
	}
}

// TestPacketLocalElsewhere dials external addresses of a Service with
// externalTrafficPolicy Local whose only endpoint is on another node. Pods and the
// node itself are in the cluster, so they get there; a client outside does not.
func TestPacketLocalElsewhere(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, externalLocal))
	b.apply(t, sliceObjects(1, ready(b.there))...)
	for family := range ipFamilies {
		for _, kind := range []string{"LB VIP", "external IP", "NodePort"} {
			to := b.frontend(kind, 1, family)
			b.expectAll(t,
				try{b.pod(), to, "there -"},
				try{b.itself(), to, "there m"},
				try{b.external(), to, "timeout"})
		}
	}
}

// TestPacketPrefixWithoutInterface tells pods by the name of an interface that no
// pod has yet: the agent programs everything, and takes a client without such an
// interface for one outside of the cluster.
func TestPacketPrefixWithoutInterface(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.LocalMode, cfg.InterfaceNamePrefix = resolve.LocalInterfaceNamePrefix, "azv"
	b := newBed(t, cfg, lab.PTP)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.there))...)
	for family := range ipFamilies {
		b.expectAll(t, try{b.pod(), b.frontend("ClusterIP", 1, family), "there m"})
	}
}

// TestPacketForeignUserData starts the agent beside a table whose sets carry user
// data of a format that nobody knows. It works, and the table stays as it is.
func TestPacketForeignUserData(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.stop()
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: b.node.NS})
	check(t, err)
	defer func() { _ = s.Close() }()
	data := bytes.Repeat([]byte{0xff, 3, 0, 0xfe}, 60)
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, unix.NFPROTO_INET, 0, 0, 0)
	m.String(unix.NFTA_TABLE_NAME, "newer")
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, unix.NFPROTO_INET, 0, 0, 0)
	m.String(unix.NFTA_SET_TABLE, "newer")
	m.String(unix.NFTA_SET_NAME, "set")
	m.BE32(unix.NFTA_SET_ID, 1)
	m.BE32(unix.NFTA_SET_KEY_TYPE, 7)
	m.BE32(unix.NFTA_SET_KEY_LEN, 4)
	m.Attr(unix.NFTA_SET_USERDATA, data...)
	check(t, s.Transact(&m, func(i int, err error) { t.Errorf("operation %d: %v", i, err) }))

	b.start(t, defaults())
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.there))...)
	for family := range ipFamilies {
		b.expectAll(t, try{b.pod(), b.frontend("ClusterIP", 1, family), "there -"})
	}
	m.Reset()
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSET, 0, unix.NFPROTO_INET, 0, 0, 0)
	m.String(unix.NFTA_SET_TABLE, "newer")
	m.String(unix.NFTA_SET_NAME, "set")
	check(t, s.Get(&m, func(r nl.Reply) {
		if got := nl.Attr(r.Body[4:], unix.NFTA_SET_USERDATA); !bytes.Equal(got, data) {
			t.Errorf("user data of the other table: %x", got)
		}
	}))
}

// TestPacketIPv6Disabled runs the agent for a dual-stack cluster on a node whose
// kernel has IPv6 switched off. IPv4 is served, and nothing is repaired or tried
// again.
func TestPacketIPv6Disabled(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.stop()
	for _, dev := range []string{"all", "default", "lo", "eth0"} {
		check(t, b.node.Sysctl("ipv6/conf/"+dev+"/disable_ipv6", "1"))
	}
	b.start(t, defaults())
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.there))...)
	for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP"} {
		b.expectAll(t, try{b.itself4(), b.frontend(kind, 1, 0), "there m"}, try{b.external(), b.frontend(kind, 1, 0), "there m"})
	}
	if behind := b.agent.Behind(); behind != 0 {
		t.Errorf("something waits for the kernel since %v", behind)
	}
}

// itself4 is the node by IPv4 alone.
func (b *bed) itself4() origin { return origin{b.node.Host, [2]netip.Addr{second[0]}} }

// TestPacketHostPortToHostNetwork replaces a Pod that has a UDP host port by one
// with the node's network that listens on the same port. A client that never pauses
// follows.
func TestPacketHostPortToHostNetwork(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	const port = 8125
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = "default", "statsd"
	pod.Spec.NodeName = b.node.Name
	pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{HostPort: port, ContainerPort: targetPort, Protocol: corev1.ProtocolUDP}}}}
	for _, ip := range b.here.Addrs() {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: ip.String()})
	}
	b.apply(t, pod)
	var flows []flow
	for family := range ipFamilies {
		flows = append(flows, b.flow(t, b.Outside, inet.Addr{IP: b.node.Addrs()[family], Port: port, Proto: inet.UDP}))
	}
	reach(t, flows, "here")

	_, err := b.node.ServeAs("host", inet.UDP, port, b.node.Addrs()...)
	check(t, err)
	next := pod.DeepCopy()
	next.Name, next.Spec.HostNetwork = "statsd-2", true
	next.Spec.Containers[0].Ports[0].ContainerPort = port
	b.apply(t, next)
	b.remove(t, pod)
	reach(t, flows, "host")
	b.remove(t, next)
	b.apply(t, pod)
	reach(t, flows, "here")
}

// TestPacketRefusedBefore lets a client be refused from one source port many times
// before its Service has an endpoint: the first attempt after that gets through.
func TestPacketRefusedBefore(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1))
	for family := range ipFamilies {
		to := b.frontend("NodePort", 1, family)
		from := netip.AddrPortFrom(b.Outside.Addrs()[family], 40003)
		for range 3 {
			if _, _, err := tcpFrom(t.Context(), b.Outside, from, to); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("%s without an endpoint: %v", to, err)
			}
		}
		b.apply(t, sliceObjects(1, ready(b.there))...)
		conn, greeting, err := tcpFrom(t.Context(), b.Outside, from, to)
		check(t, err)
		_ = conn.Close()
		if !strings.Contains(greeting, "there") {
			t.Errorf("%s: %q", to, greeting)
		}
		b.apply(t, sliceObjects(1)...)
	}
}

// TestPacketAddressReused lists one address twice in a slice: for a Pod that
// terminates on node-2 and for a ready one that got its address on node-1. The
// order makes no difference, and policy Local counts it for node-1.
func TestPacketAddressReused(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, externalLocal))
	gone := failing(b.here)
	elsewhere := member{gone.pod, func(ep *discoveryv1.Endpoint) {
		gone.with(ep)
		ep.NodeName = &b.other.Name
	}}
	for _, members := range [][]member{{elsewhere, ready(b.here)}, {ready(b.here), elsewhere}} {
		b.apply(t, sliceObjects(1, members...)...)
		for family := range ipFamilies {
			b.expectAll(t,
				try{b.pod(), b.frontend("ClusterIP", 1, family), "here -"},
				try{b.external(), b.frontend("LB VIP", 1, family), "here -"})
		}
	}
}

// TestPacketLongNames gives a Service the longest names that the API allows, which
// together exceed what nft accepts as a comment. It is served, so are others, and the
// comments are cut.
func TestPacketLongNames(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	namespace, name, port := strings.Repeat("n", 63), strings.Repeat("s", 63), strings.Repeat("p", 15)
	rename := func(m *metav1.ObjectMeta) { m.Namespace, m.Name = namespace, name }
	b.apply(t, serviceObject(1, func(svc *corev1.Service) {
		rename(&svc.ObjectMeta)
		svc.Spec.Ports[0].Name = port
		svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}), serviceObject(2))
	slices := slicesWith(1, []discoveryv1.EndpointPort{slicePort(port, corev1.ProtocolTCP, targetPort)}, ready(b.here), ready(b.there))
	for i, s := range slices {
		s := s.(*discoveryv1.EndpointSlice)
		rename(&s.ObjectMeta)
		s.Name = fmt.Sprint("slice-", i)
		s.Labels[discoveryv1.LabelServiceName] = name
		slices[i] = s
	}
	b.apply(t, append(slices, sliceObjects(2, ready(b.there))...)...)
	for family := range ipFamilies {
		for n, want := range map[int]string{1: "here -", 2: "there -"} {
			to := b.frontend("ClusterIP", n, family)
			if got := b.dial(t.Context(), b.pod(), to); n == 2 && got != want || !strings.HasSuffix(got, " -") {
				t.Errorf("%s: %q", to, got)
			}
		}
	}
	listing, err := nstest.Command(t, b.node.NS, "nft", "-s", "list", "table", "inet", "fairlead").CombinedOutput()
	check(t, err)
	if !bytes.Contains(listing, []byte(namespace)) {
		t.Error("the Service is not named in the table")
	}
	for _, m := range regexp.MustCompile(`comment "([^"]*)"`).FindAllSubmatch(listing, -1) {
		if len(m[1]) > 128 {
			t.Errorf("a comment has %d bytes, which nft does not accept: %s", len(m[1]), m[1])
			break
		}
	}
}

// TestPacketPathMTU has pods send much to a client behind a link of a smaller MTU.
// The router's ICMP errors are about the address that the client dialled, and have to
// reach the pod.
func TestPacketPathMTU(t *testing.T) {
	t.Parallel()
	const size, port = 300 << 10, 8081
	b := newBed(t, defaults(), lab.PTP)
	ports := []discoveryv1.EndpointPort{slicePort("", corev1.ProtocolTCP, port)}
	b.apply(t, serviceObject(1), serviceObject(2, externalLocal))
	b.apply(t, append(slicesWith(1, ports, ready(b.there)), slicesWith(2, ports, ready(b.here))...)...)
	for _, pod := range []*lab.Pod{b.here, b.there} {
		for _, ip := range pod.Addrs() {
			pour(t, pod.Host, netip.AddrPortFrom(ip, port), size)
		}
	}
	l, err := b.Router().Netlink().LinkByName("outside")
	check(t, err)
	check(t, b.Router().Netlink().LinkSetMTU(l, 1300)) // the client's end keeps 1500
	for family := range ipFamilies {
		for n := 1; n <= 2; n++ {
			for _, kind := range []string{"NodePort", "LB VIP"} {
				to := b.frontend(kind, n, family)
				if got, err := drink(b.Outside, to); err != nil || got != size {
					t.Errorf("%s: received %d of %d bytes: %v", to, got, size, err)
				}
			}
		}
	}
}

// pour serves size bytes to each client.
func pour(t *testing.T, h *lab.Host, at netip.AddrPort, size int) {
	t.Helper()
	var l net.Listener
	check(t, h.NS.Do(func() (err error) {
		l, err = net.Listen("tcp", at.String())
		return err
	}))
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(answered))
			_, _ = c.Write(make([]byte, size))
			_ = c.Close()
		}
	}()
}

// drink returns how many bytes a server sends until it closes the connection.
func drink(h *lab.Host, to inet.Addr) (int64, error) {
	var c net.Conn
	err := h.NS.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: answered}).Dial("tcp", to.AddrPort().String())
		return err
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(answered)); err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, c)
}
