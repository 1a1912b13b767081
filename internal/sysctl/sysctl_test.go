// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"io/fs"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNeeded(t *testing.T) {
	tests := []struct {
		name string
		c    Config
		want []string
	}{
		{"nothing", Config{}, nil},
		{"IPv4", Config{IPv4: true, Overlay: "fairlead.1"}, []string{
			"net.ipv4.ip_forward=1", "net.ipv4.conf.default.forwarding=1", "net.ipv4.conf.fairlead/1.rp_filter=2",
		}},
		{"devices that pods' packets pass", Config{IPv4: true, Asymmetric: true, Path: []string{"eth0.5", "cni0"}}, []string{
			"net.ipv4.ip_forward=1", "net.ipv4.conf.default.forwarding=1",
			"net.ipv4.conf.cni0.forwarding=1", "net.ipv4.conf.eth0/5.forwarding=1",
			"net.ipv4.conf.all.rp_filter=2 (report)", "net.ipv4.conf.cni0.rp_filter=2 (report)", "net.ipv4.conf.eth0/5.rp_filter=2 (report)",
		}},
		{"IPv6, routers first", Config{IPv6: true, Overlay: "x", Asymmetric: true, RouterAdvertised: []string{"eth1", "eth0.5"}}, []string{
			"net.ipv6.conf.eth0/5.accept_ra=2", "net.ipv6.conf.eth1.accept_ra=2",
			"net.ipv6.conf.all.disable_ipv6=0 (report)", "net.ipv6.conf.default.disable_ipv6=0 (report)",
			"net.ipv6.conf.all.forwarding=1",
		}},
		{"loopback", Config{IPv4: true, Localnet: []string{"veth1", "default"}}, []string{
			"net.ipv4.ip_forward=1", "net.ipv4.conf.default.forwarding=1",
			"net.ipv4.conf.default.route_localnet=1", "net.ipv4.conf.veth1.route_localnet=1",
		}},
		{"bridge", Config{IPv4: true, Bridge: true, Asymmetric: true}, []string{
			"net.ipv4.ip_forward=1", "net.ipv4.conf.default.forwarding=1", "net.bridge.bridge-nf-call-iptables=1",
			"net.ipv4.conf.all.rp_filter=2 (report)",
		}},
	}
	for _, tt := range tests {
		var got []string
		for _, s := range Needed(tt.c) {
			line := s.Name() + "=" + s.Want
			if s.Report {
				line += " (report)"
			}
			if s.Why == "" {
				t.Errorf("%s has no reason", line)
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestCheck(t *testing.T) {
	have := map[string]string{
		"net/ipv4/ip_forward":              "0\n",
		"net/ipv4/conf/default/forwarding": "1\n",
		"net/ipv4/conf/all/rp_filter":      "1\n",
		"net/ipv4/conf/vx/rp_filter":       "2\n",
	}
	read := func(path string) (string, error) {
		if text, ok := have[path]; ok {
			return text, nil
		}
		return "", fs.ErrNotExist
	}
	var got []string
	for _, f := range Check(Needed(Config{IPv4: true, Bridge: true, Overlay: "vx", Asymmetric: true}), read) {
		got = append(got, f.String())
	}
	want := []string{
		"net.ipv4.ip_forward is 0, not 1: packets from and to pods are not forwarded; on the node: sysctl -w net.ipv4.ip_forward=1",
		"net.bridge.bridge-nf-call-iptables is not known: if it is not 1, a Service whose endpoint is on the client's node does not work: the reply is switched past the translation (file does not exist); on the node: modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1",
		"net.ipv4.conf.all.rp_filter is 1, not 2: packets that come in by another device than replies go out are dropped; on the node: sysctl -w net.ipv4.conf.all.rp_filter=2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	have["net/ipv4/conf/all/rp_filter"] = "0\n"
	if n := len(Check(Needed(Config{IPv4: true, Bridge: true, Overlay: "vx", Asymmetric: true}), read)); n != 2 {
		t.Errorf("no filter at all is reported, too")
	}
}

func TestReadOnly(t *testing.T) {
	f := Finding{Setting: Needed(Config{IPv4: true})[0], Have: "0", Err: syscall.EROFS}
	want := "net.ipv4.ip_forward is 0, not 1: packets from and to pods are not forwarded (read-only file system); on the node: sysctl -w net.ipv4.ip_forward=1, " +
		"or let the agent do it: give it the node's /proc/sys/net, or securityContext.privileged: /proc/sys is read-only in its container"
	if diff := cmp.Diff(want, f.String()); diff != "" {
		t.Errorf("finding (-want +got):\n%s", diff)
	}
}

// TestCheckDevices reports a device that does not forward, and none that went away.
func TestCheckDevices(t *testing.T) {
	have := map[string]string{"net/ipv4/ip_forward": "1", "net/ipv4/conf/default/forwarding": "1", "net/ipv4/conf/eth0/forwarding": "0"}
	found := Check(Needed(Config{IPv4: true, Path: []string{"eth0", "veth7"}}), func(path string) (string, error) {
		if text, ok := have[path]; ok {
			return text, nil
		}
		return "", fs.ErrNotExist
	})
	want := "net.ipv4.conf.eth0.forwarding is 0, not 1: packets of pods that come in by this device are not forwarded; on the node: sysctl -w net.ipv4.conf.eth0.forwarding=1"
	if len(found) != 1 || found[0].String() != want {
		t.Errorf("found %v, want %q", found, want)
	}
}
