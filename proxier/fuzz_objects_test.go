// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/flannel"
	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// The fuzz tests of objects read their input as the API server's binary form of an
// object, so that the fuzzer reaches every field with every value, names and texts
// included.

// message is an object that the API server can send in its binary form.
type message interface {
	Marshal() ([]byte, error)
	Unmarshal(b []byte) error
}

// fuzzKind runs a fuzz test with objects of one kind.
func fuzzKind(f *testing.F, empty func() message, seeds ...message) {
	f.Helper()
	for _, seed := range seeds {
		b, err := seed.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		obj := empty()
		if err := obj.Unmarshal(data); err != nil {
			return
		}
		checkObject(t, obj)
	})
}

// checkObject takes an object through the decoders, the resolve and the plan beside a
// Service of another tenant, and checks what comes out.
func checkObject(t *testing.T, obj message) {
	t.Helper()
	cfg := testConfig()
	st := store.New()
	d := newDesired(&cfg, st)
	st.Update(func(tx *store.Tx) { putHonest(tx) })
	d.update()
	settlePlan(t, d)

	it, err := convert.Convert(obj)
	if err != nil {
		t.Fatal(err)
	}
	same := it.Key == objects.Key{Kind: objects.KindService, Name: honestName} // then it is the other tenant's own
	st.Update(func(tx *store.Tx) { tx.Put(&it) })
	updateAll(d)
	settlePlan(t, d)
	if owner := d.claims.Owner(honestAddr()); !same && (owner == nil || owner.Subject.String() != honestName) {
		t.Errorf("the other tenant lost its address to %v", owner)
	}
	checkProblems(t, st.Book().Problems())
	checkText(t, d.state.Text())
	if n := d.claims.Size(); n > objects.MaxFrontends+2 {
		t.Errorf("one object has %d frontends", n)
	}

	st.Update(func(tx *store.Tx) { tx.Drop(it.Key) })
	updateAll(d)
	settlePlan(t, d)
	own := objects.Key{Kind: objects.KindNode, Name: cfg.NodeName} // its absence is a problem
	if left := st.Book().Problems(); len(left) > 0 && it.Key != own {
		t.Errorf("problems are left of an object that is gone: %v", left)
	}
}

// updateAll calls update until nothing waits.
func updateAll(d *desired) {
	for d.update(); d.more(); d.update() {
	}
}

const honestName = "honest/web"

func honestAddr() inet.Addr {
	return inet.Addr{IP: netip.MustParseAddr("10.96.200.1"), Port: 80, Proto: inet.TCP}
}

// putHonest puts in the Service of a tenant that does nothing wrong, and this node.
func putHonest(tx *store.Tx) {
	svc, slice := benchObjects(0, 3)
	svc.Key.Namespace, svc.Key.Name = "honest", "web"
	svc.ClusterIPs = []netip.Addr{honestAddr().IP}
	slice.Key.Namespace, slice.Key.Name, slice.Service = "honest", "web-1", svc.Key
	tx.SetService(svc)
	tx.SetSlice(slice)
	tx.SetNode(&objects.Node{Name: "node-a", Zone: "z1", Addresses: primaryTestAddrs()})
}

// settlePlan acknowledges each step, as a kernel would that refuses nothing.
func settlePlan(t *testing.T, d *desired) {
	t.Helper()
	for step := d.state.Next(0); step != nil; step = d.state.Next(0) {
		if n := len(step.Batch); n > 3*ruleset.DefaultLimit {
			t.Errorf("a batch of %d operations", n)
		}
		d.state.Acked(step)
	}
}

// checkProblems fails for problems that could act on a terminal or a log, and for too
// many or too long ones.
func checkProblems(t *testing.T, list []objects.Problem) {
	t.Helper()
	if len(list) > 5*objects.MaxProblems {
		t.Errorf("one object has %d problems", len(list))
	}
	for _, p := range list {
		if s := p.String(); len(s) > 2048 || !isPlain(s) {
			t.Errorf("problem of %d bytes: %q", len(s), s[:min(len(s), 2048)])
		}
	}
}

// isPlain reports whether a text moves no cursor and begins no line.
func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// checkText fails for a table in which a comment ends anywhere but at its own quote.
func checkText(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if n := strings.Count(line, `"`); n%2 != 0 || strings.Contains(line, `\`) || !isPlain(strings.ReplaceAll(line, "\t", "")) {
			t.Errorf("the table has the line %q", line)
		}
		if _, rest, ok := strings.Cut(line, `comment "`); ok && strings.IndexByte(rest, '"') > 128 {
			t.Errorf("a comment is longer than nft reads: %q", line)
		}
	}
}

func FuzzService(f *testing.F) {
	fuzzKind(f, func() message { return &corev1.Service{} }, fullService(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "honest", Name: "web-2"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.200.1", Ports: []corev1.ServicePort{{Port: 80}, {Name: "x", Port: 80, Protocol: "UDP", NodePort: 30000}}},
	}, hostileService())
}

// fullService has every field that the agent reads.
func fullService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "full", UID: "1", Labels: map[string]string{"a": "b"}, CreationTimestamp: metav1.Unix(1, 0)},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.2", ClusterIPs: []string{"10.96.0.2", "fd00:10:96::2"},
			ExternalIPs: []string{"198.51.100.1", "2001:db8::1"}, LoadBalancerSourceRanges: []string{"192.0.2.0/24", "2001:db8:1::/64"},
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyLocal),
			HealthCheckNodePort: 32000, SessionAffinity: corev1.ServiceAffinityClientIP,
			SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(100))}},
			Ports:                 []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, NodePort: 30080}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, NodePort: 30053}, {Name: "s", Port: 9, Protocol: corev1.ProtocolSCTP}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
			{IP: "203.0.113.1", IPMode: new(corev1.LoadBalancerIPModeVIP)}, {IP: "2001:db8::2"}, {Hostname: "lb"},
		}}},
	}
}

// hostileService says things that an API server would refuse and a file may contain.
func hostileService() *corev1.Service {
	const evil = "x\" }\n\x1b[2J\x00\u202e"
	s := fullService()
	s.Namespace, s.UID = "default", evil
	s.Annotations = map[string]string{evil: strings.Repeat(evil, 100)}
	s.Spec.ExternalIPs = []string{evil, strings.Repeat("9", 5000), "127.0.0.1", "0.0.0.0", "::ffff:10.96.200.1", "fe80::1%eth0"}
	s.Spec.LoadBalancerSourceRanges = append(s.Spec.LoadBalancerSourceRanges, evil, "0.0.0.0/0")
	s.Spec.SessionAffinity, s.Spec.ExternalTrafficPolicy = evil, evil
	s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: evil, Port: 81}, corev1.ServicePort{Name: "p", Port: 82, Protocol: evil}, corev1.ServicePort{Name: "q", Port: -1, NodePort: 1 << 20})
	return s
}

func FuzzSlice(f *testing.F) {
	fuzzKind(f, func() message { return &discoveryv1.EndpointSlice{} }, hostileSlices()...)
}

func hostileSlices() []message {
	slice := func(service, name string, kind discoveryv1.AddressType, addrs ...string) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "honest", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service},
				Annotations: map[string]string{corev1.EndpointsLastChangeTriggerTime: "2030-01-01T00:00:00Z"},
			},
			AddressType: kind,
			Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}, {Port: new(int32(1))}, {}},
		}
		for i, a := range addrs {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{a}, NodeName: new("node-a"), Zone: new("z1"),
				Conditions: discoveryv1.EndpointConditions{Ready: new(i%2 == 0), Serving: new(true), Terminating: new(i%2 == 1)},
				Hints:      &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "z\x1b2\n"}}, ForNodes: []discoveryv1.ForNode{{Name: "node-a"}}},
			})
		}
		return s
	}
	return []message{
		slice("web", "web-2", discoveryv1.AddressTypeIPv4, "10.244.0.9", "10.244.0.9", "192.0.2.1", "127.0.0.1", "fd00::1"),
		slice("web", "web-1", discoveryv1.AddressTypeIPv6, "fd00::1", "::1", "::ffff:10.0.0.1"),
		slice("none\"\n", "x", "FQDN", "a.example"), slice("", "y\x00", "IPv5"),
	}
}

func FuzzNode(f *testing.F) {
	fuzzKind(f, func() message { return &corev1.Node{} }, hostileNodes()...)
}

func hostileNodes() []message {
	node := func(name string, annotations map[string]string, cidrs, addrs []string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: "z\x1b"}, Annotations: annotations}}
		n.Spec.PodCIDRs = cidrs
		n.Spec.Taints = []corev1.Taint{{Key: "a"}}
		kinds := []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeHostName}
		for i, a := range addrs {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: kinds[i%3], Address: a})
		}
		return n
	}
	lease := map[string]string{
		flannel.Prefix + "kube-subnet-manager": "true", flannel.Prefix + "backend-type": "vxlan", flannel.Prefix + "public-ip": "192.0.2.2",
		flannel.Prefix + "backend-data": `{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}`, flannel.Prefix + "backend-v6-data": "{\"VtepMAC\":\"\x1b\"", flannel.Prefix + "public-ipv6": "x\n",
		objects.AnnotationUnderlay: "192.0.2.7, \x1b[2J,::1",
	}
	return []message{
		node("node-a", lease, []string{"10.244.0.0/24", "fd00:10:244::/64"}, []string{"192.0.2.1", "198.51.100.1", "host"}),
		node("node-b", nil, []string{"0.0.0.0/0", "10.244.1.1", "\x00", "::/0"}, []string{"10.96.200.1", "", "\n", "::1", "fe80::1"}),
		node("\x1bnode", nil, nil, nil),
	}
}

func FuzzServiceCIDR(f *testing.F) {
	fuzzKind(f, func() message { return &networkingv1.ServiceCIDR{} }, hostileServiceCIDRs()...)
}

func hostileServiceCIDRs() []message {
	cidr := func(name string, list ...string) *networkingv1.ServiceCIDR {
		return &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: list}}
	}
	return []message{
		cidr("kubernetes", "10.96.0.0/12", "fd00:10:96::/112"), cidr("x\n", "a"),
		cidr("wide", "0.0.0.0/0", "::/0", "10.96.0.0/12", "10.96.0.0/13", "255.255.255.255/32"),
	}
}

func FuzzPod(f *testing.F) {
	fuzzKind(f, func() message { return &corev1.Pod{} }, hostilePods()...)
}

func hostilePods() []message {
	pod := func(name string, ips []string, ports ...corev1.ContainerPort) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PodSpec{NodeName: "node-a"}}
		p.Spec.Containers = []corev1.Container{{Ports: ports}}
		p.Spec.InitContainers = []corev1.Container{{Ports: ports, RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
		for _, ip := range ips {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
		}
		return p
	}
	many := make([]corev1.ContainerPort, 50)
	for i := range many {
		many[i] = corev1.ContainerPort{
			HostPort: int32(i) * 1000, ContainerPort: 80,
			HostIP:   []string{"", "192.0.2.1", "10.96.200.1", "8.8.8.8", "\x1b", "127.0.0.1"}[i%6],
			Protocol: []corev1.Protocol{"", "UDP", "SCTP", "x\n"}[i%4],
		}
	}
	return []message{
		pod("a", []string{"10.244.0.7", "fd00::7"}, corev1.ContainerPort{HostPort: 80, ContainerPort: 8080}),
		pod("b", []string{"127.0.0.1", "192.0.2.1"}, many...), pod("\n", []string{"\x00"}, many...),
	}
}

// TestFuzzChecks makes sure that the checks of the fuzz tests find what they look for.
func TestFuzzChecks(t *testing.T) {
	for _, bad := range []string{"a\nb", "\x1b[2J", "\x00", "\xff", "\u202e", "\u2028"} {
		if isPlain(bad) {
			t.Errorf("%q is plain", bad)
		}
	}
	if !isPlain(fmt.Sprintf("%q is fine", "caf\u00e9 \x1b")) {
		t.Error("a quoted text is not plain")
	}
}
