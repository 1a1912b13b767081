// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzConfigFile reads kube-proxy's file: the flags that it sets are valid, or there is an
// error.
func FuzzConfigFile(f *testing.F) {
	if kubeadm, err := os.ReadFile(filepath.Join("testdata", "kubeadm.yaml")); err != nil {
		f.Fatal(err)
	} else {
		f.Add(kubeadm)
	}
	for _, s := range []string{
		"mode: ipvs\nipvs: {scheduler: rr, strictARP: true, syncPeriod: 20s}\niptables: {masqueradeBit: 15}\nconntrack: {maxPerCore: 5, tcpCloseWaitTimeout: 1h}\n",
		"conntrack: {min: many, tcpCloseWaitTimeout: 5}\nmode: \"magic\\e[2J\"\n", "clusterCIDR: 10.244.0.0/16,fd00::/48\nnodePortAddresses: [primary]\nbindAddress: '::'\n",
		"featureGates: {A: true}\nlogging: {format: json, verbosity: 3}\nmetricsBindAddress: 1.2.3.4:5\n", "a: &a [*a]\n", "conntrack: {maxPerCore: 99999999999999999999}\n", "\t{", "[]",
	} {
		f.Add([]byte(configHead + s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := writeFile(t, "config.conf", string(data))
		flags, fs, err := loaded(t, "--config="+path)
		if err != nil {
			return
		}
		if _, err := flags.Config(fs); err != nil {
			return // it names the flag
		}
	})
}

// FuzzNetConf does the same with flannel's file.
func FuzzNetConf(f *testing.F) {
	f.Add([]byte(`{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"vxlan","VNI":4096,"Port":4789,"MTU":1400,"DirectRouting":true}}`))
	f.Add([]byte(`{"Network":"0.0.0.0/0","Backend":{"Type":"host-gw","Iface":["eth0","\n"],"IfaceRegex":"(","PublicIP":"192.0.2.1","PublicIPv6":"x"}}`))
	f.Add([]byte(`{"Network":"10.244.0.0/16","Backend":{"Type":"alloc"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := writeFile(t, "net-conf.json", string(data))
		flags, fs, err := loaded(t, "--net-config-path="+path)
		if err != nil {
			return
		}
		if _, err := flags.Config(fs); err != nil {
			return
		}
	})
}
