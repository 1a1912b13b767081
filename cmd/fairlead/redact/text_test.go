// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"net/netip"
	"strings"
	"testing"
)

// TestText finds addresses and names wherever they stand in a text.
func TestText(t *testing.T) {
	w := testWords(t, 7)
	w.learnName("web", "web-0", "shop", "ip-10-0-0-1", "web.shop.example")
	w.learnLabel("true")
	for _, s := range []string{"10.0.0.1", "10.244.0.0", "fd00::1", "10.0.0.2"} {
		w.addresses.learn(netip.MustParseAddr(s))
	}
	w.settle()
	a := func(s string) string { return w.addr(netip.MustParseAddr(s)).String() }
	n := func(s string) string { return w.names[s] }
	for in, want := range map[string]string{
		"dial tcp 10.0.0.1:6443: connect: refused": "dial tcp " + a("10.0.0.1") + ":6443: connect: refused",
		"10.0.0.1.":                      a("10.0.0.1") + ".",
		"(10.0.0.1,10.0.0.2)":            "(" + a("10.0.0.1") + "," + a("10.0.0.2") + ")",
		"https://[fd00::1]:6443/api":     "https://[" + a("fd00::1") + "]:6443/api",
		"to fd00::1: no route":           "to " + a("fd00::1") + ": no route",
		"fe80::1%eth0":                   a("fe80::1") + "%eth0",
		"::ffff:10.0.0.1":                "::ffff:" + a("10.0.0.1"),
		"range 10.244.0.0/16":            "range " + w.prefix(netip.MustParsePrefix("10.244.0.0/16")).String(),
		"1.0.0.10.in-addr.arpa":          a("1.0.0.10") + ".in-addr.arpa",
		"pod-10-0-0-1.shop":              "pod-" + strings.ReplaceAll(a("10.0.0.1"), ".", "-") + "." + n("shop"),
		"node ip-10-0-0-1 is away":       "node " + n("ip-10-0-0-1") + " is away",
		"key 0x0a000001":                 "key 0x-redacted",
		"mark 0x00004000":                "mark 0x00004000",
		"Service shop/web: bad":          "Service " + n("shop") + "/" + n("web") + ": bad",
		"web-0.web.shop.svc":             n("web-0") + "." + n("web") + "." + n("shop") + ".svc",
		"web-7fd9-x2x4z":                 n("web") + "-7fd9-x2x4z",
		"http://web.shop.example/":       "http://" + n("web.shop.example") + "/",
		`label "true" is true`:           `label "` + n("true") + `" is true`,
		"webhook of default/kubernetes":  "webhook of default/kubernetes",
		"at 12:30:45 in version 1.34.2":  "at 12:30:45 in version 1.34.2",
		"::1 and 127.0.0.1 and 0.0.0.0":  "::1 and 127.0.0.1 and 0.0.0.0",
		"999.1.1.1 and 1:2 and a::b::c":  "999.1.1.1 and 1:2 and " + w.text("a::b") + "::c",
		"52:54:00:12:34:56 is not an IP": w.mac("52:54:00:12:34:56") + " is not an IP",
		"":                               "",
	} {
		if got := w.text(in); got != want {
			t.Errorf("%q becomes\n%q, want\n%q", in, got, want)
		}
	}
	if n("web") >= n("web-0") || n("shop") >= n("web") {
		t.Error("the pseudonyms of names sort in another way than the names")
	}
}

// TestNothingToReplace: without options a text stays, apart from secrets.
func TestNothingToReplace(t *testing.T) {
	w := newWords(Options{})
	w.learnName("web")
	w.settle()
	for in, want := range map[string]string{
		"web at 10.0.0.1":                                                         "web at 10.0.0.1",
		"Authorization: Bearer abcdefgh12345":                                     "Authorization: Bearer (secret)",
		"https://user:hunter2@10.0.0.1/":                                          "https://(secret)@10.0.0.1/",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln x":                             "(secret) x",
		"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nx": "(secret)\nx",
		"-----BEGIN CERTIFICATE-----\nMIIE":                                       "(secret)",
		"password=hunter2 retries=3":                                              "password=(secret) retries=3",
		`{"dbPassword": "hunter2", "x": 1}`:                                       `{"dbPassword": "(secret)", "x": 1}`,
		"secrets is forbidden: User cannot list":                                  "secrets is forbidden: User cannot list",
		"the token of the pod has expired":                                        "the token of the pod has expired",
	} {
		if got := w.text(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestFileOfAnotherProgram: what may be secret in a CNI file is replaced, and a file that
// is not JSON is left out.
func TestFileOfAnotherProgram(t *testing.T) {
	got := withoutKeys(`{"name": "x", "policy": {"k8s_auth_token": "hunter2", "type": "k8s"}, "plugins": [{"etcd_key": "hunter2", "env": {"A": "hunter2"}}]}`)
	if strings.Contains(got, "hunter2") || !strings.Contains(got, `"type": "k8s"`) {
		t.Error(got)
	}
	if got := withoutKeys("name: x\ntoken: hunter2"); strings.Contains(got, "hunter2") || !strings.Contains(got, "not JSON") {
		t.Error(got)
	}
	if got := withoutKeys(`{"name":  "x"}`); got != `{"name":  "x"}` {
		t.Error(got)
	}
}
