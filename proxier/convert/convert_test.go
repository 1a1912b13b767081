// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// values lets cmp look into the value types of objects.

// texts shortens problems of one object to their fields and texts.
func texts(problems []objects.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Field+": "+p.Text)
	}
	return out
}

func TestParseAddr(t *testing.T) {
	for _, tc := range []struct{ in, want, err string }{
		{in: "10.0.0.1", want: "10.0.0.1"},
		{in: "172.30.0.041", want: "172.30.0.41"}, // decimal, not octal
		{in: "::ffff:10.0.0.1", want: "10.0.0.1"},
		{in: "fd00::1", want: "fd00::1"},
		{in: "169.254.1.1", want: "169.254.1.1"},
		{in: "", err: `"" is not an IP address`},
		{in: "10.0.0.300", err: `"10.0.0.300" is not an IP address`},
		{in: "10.0.0.1/32", err: `"10.0.0.1/32" is not an IP address`},
		{in: "fe80::1%eth0", err: `"fe80::1%eth0" is not an IP address`},
		{in: "0.0.0.0", err: "0.0.0.0 is the unspecified address"},
		{in: "::ffff:127.0.0.1", err: "127.0.0.1 is a loopback address"},
		{in: "::1", err: "::1 is a loopback address"},
		{in: "224.0.0.1", err: "224.0.0.1 is a multicast address"},
		{in: "ff02::1", err: "ff02::1 is a multicast address"},
		{in: "255.255.255.255", err: "255.255.255.255 is the broadcast address"},
	} {
		got, err := parseAddr(tc.in)
		if proxiertest.ErrText(err) != tc.err || err == nil && got != netip.MustParseAddr(tc.want) {
			t.Errorf("parseAddr(%q) = %v, %v, want %v, %v", tc.in, got, err, tc.want, tc.err)
		}
	}
	for _, s := range []string{"169.254.1.1", "fe80::1"} {
		if _, err := parseUserAddr(s); err == nil {
			t.Errorf("parseUserAddr(%q) accepts a link-local address", s)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for _, tc := range []struct{ in, want, err string }{
		{in: "10.0.0.0/8", want: "10.0.0.0/8"},
		{in: " 10.1.2.3/8\t", want: "10.0.0.0/8"}, // trimmed and masked
		{in: "010.0.0.0/8", want: "10.0.0.0/8"},
		{in: "0.0.0.0/0", want: "0.0.0.0/0"},
		{in: "::ffff:10.0.0.0/104", want: "10.0.0.0/8"},
		{in: "fd00::/16", want: "fd00::/16"},
		{in: "10.0.0.0", err: `"10.0.0.0" is not a CIDR`},
		{in: "10.0.0.0/33", err: `"10.0.0.0/33" is not a CIDR`},
		{in: "", err: `"" is not a CIDR`},
	} {
		got, err := parsePrefix(tc.in)
		if proxiertest.ErrText(err) != tc.err || err == nil && got != netip.MustParsePrefix(tc.want) {
			t.Errorf("parsePrefix(%q) = %v, %v, want %v, %v", tc.in, got, err, tc.want, tc.err)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"default/web":        "default/web",
		"a\x1b[2Jb":          `"a\x1b[2Jb"`,
		"a\nb":               `"a\nb"`,
		`a"b`:                `"a\"b"`,
		"caf\u00e9":          "caf\u00e9",
		"a\u202eb":           `"a\u202eb"`,
		string([]byte{0xff}): `"\xff"`,
	} {
		if got := objects.Printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestConvertNode(t *testing.T) {
	now := metav1.Now()
	in := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "node-a", DeletionTimestamp: &now,
			Labels: map[string]string{"topology.kubernetes.io/zone": "z1"},
		},
		Spec: corev1.NodeSpec{PodCIDR: "10.244.1.0/24", PodCIDRs: []string{"10.244.1.0/24", "fd00::/64", "x"}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeExternalIP, Address: "192.0.2.1"},
			{Type: corev1.NodeHostName, Address: "node-a"},
			{Type: corev1.NodeInternalIP, Address: "10.0.0.1"},
			{Type: corev1.NodeInternalIP, Address: "10.0.0.1"},
			{Type: corev1.NodeInternalIP, Address: "10.0.0.256"},
			{Type: corev1.NodeInternalIP, Address: "fd00::1"},
		}},
	}
	got, problems := convertNode(in)
	want := &objects.Node{
		Name: "node-a", Zone: "z1", Leaving: true,
		Addresses: proxiertest.MustAddrs("10.0.0.1", "fd00::1", "192.0.2.1"),
		Underlay:  proxiertest.MustAddrs("10.0.0.1", "fd00::1"),
		PodCIDRs:  proxiertest.MustPrefixes("10.244.1.0/24", "fd00::/64"),
	}
	if diff := cmp.Diff(want, got, proxiertest.Values); diff != "" {
		t.Errorf("convertNode (-want +got):\n%s", diff)
	}
	wantProblems := []string{
		`status.addresses[4].address: "10.0.0.256" is not an IP address`,
		`spec.podCIDRs[2]: "x" is not a CIDR`,
	}
	if diff := cmp.Diff(wantProblems, texts(problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestConvertNodeSmall(t *testing.T) {
	got, problems := convertNode(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n"},
		Spec:       corev1.NodeSpec{PodCIDR: "10.244.1.0/24", Taints: []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler"}}},
	})
	want := &objects.Node{Name: "n", Leaving: true, PodCIDRs: proxiertest.MustPrefixes("10.244.1.0/24")}
	if diff := cmp.Diff(want, got, proxiertest.Values); diff != "" || len(problems) > 0 {
		t.Errorf("convertNode (-want +got):\n%s%v", diff, problems)
	}
	if got, problems := convertNode(&corev1.Node{}); got != nil || len(problems) != 1 {
		t.Errorf("a Node without a name is %v, %v, want a problem", got, problems)
	}
}

func TestConvertServiceCIDR(t *testing.T) {
	got, problems := convertServiceCIDR(&networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"},
		Spec:       networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/12", "fd00:10:96::/112", "10.96.0.0"}},
	})
	want := &objects.ServiceCIDR{Name: "kubernetes", CIDRs: proxiertest.MustPrefixes("10.96.0.0/12", "fd00:10:96::/112")}
	if diff := cmp.Diff(want, got, proxiertest.Values); diff != "" {
		t.Errorf("convertServiceCIDR (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`spec.cidrs[2]: "10.96.0.0" is not a CIDR`}, texts(problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestConvertNodeUnderlay reads the addresses that an annotation puts before those
// of the status.
func TestConvertNodeUnderlay(t *testing.T) {
	for _, tt := range []struct {
		annotation string
		want       []netip.Addr
		problems   []string
	}{
		{"", proxiertest.MustAddrs("192.0.2.1", "2001:db8::1"), nil},
		{"10.0.0.1", proxiertest.MustAddrs("10.0.0.1", "192.0.2.1", "2001:db8::1"), nil},
		{"fd00::1, 192.0.2.1,10.0.0.1", proxiertest.MustAddrs("fd00::1", "192.0.2.1", "10.0.0.1", "2001:db8::1"), nil},
		{"10.0.0.1,nonsense,127.0.0.1", proxiertest.MustAddrs("10.0.0.1", "192.0.2.1", "2001:db8::1"), []string{
			`metadata.annotations: fairlead/underlay-addresses: "nonsense" is not an IP address`,
			"metadata.annotations: fairlead/underlay-addresses: 127.0.0.1 is a loopback address",
		}},
		{"10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7,10.0.0.8,10.0.0.9",
			proxiertest.MustAddrs("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "192.0.2.1", "2001:db8::1"),
			[]string{"metadata.annotations: fairlead/underlay-addresses has 9 addresses, of which the first 8 count"}},
	} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Annotations: map[string]string{objects.AnnotationUnderlay: tt.annotation}}}
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeInternalIP, Address: "2001:db8::1"}}
		got, problems := convertNode(node)
		if diff := cmp.Diff(tt.want, got.Underlay, proxiertest.Values); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.annotation, diff)
		}
		if diff := cmp.Diff(tt.problems, texts(problems)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.annotation, diff)
		}
		for by, written := range map[string]bool{"": false, "10.9.9.9": false, tt.annotation: tt.annotation != ""} {
			node.Annotations[objects.AnnotationUnderlayWritten] = by
			if got, _ := convertNode(node); got.UnderlayWritten != written {
				t.Errorf("%q, written %q by the agent: UnderlayWritten is %v", tt.annotation, by, got.UnderlayWritten)
			}
		}
	}
}

// TestParseVIP refuses addresses that no network routes to a Service.
func TestParseVIP(t *testing.T) {
	for _, s := range []string{"0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1"} {
		if ip, err := parseVIP(s); err == nil {
			t.Errorf("parseVIP(%q) = %v, want an error", s, ip)
		}
	}
	for _, s := range []string{"203.0.113.1", "10.0.0.1", "2001:db8::1", "100.64.0.1"} {
		if _, err := parseVIP(s); err != nil {
			t.Errorf("parseVIP(%q): %v", s, err)
		}
	}
}

// TestReportIsBounded keeps the problems of one object few, whatever it says.
func TestReportIsBounded(t *testing.T) {
	r := newChecker(objects.KindService, "default/web", "")
	for i := range 10_000 {
		r.Add("", "%d", i)
	}
	if n := len(r.Problems); n != objects.MaxProblems || r.Problems[n-1].Text != "has 9901 further problems" {
		t.Errorf("%d problems, the last is %q", n, r.Problems[n-1].Text)
	}
}
