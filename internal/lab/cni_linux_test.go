// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/internal/cni"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// TestCNI makes pods with the real plugins and removes them.
func TestCNI(t *testing.T) {
	for _, plugin := range []cni.Plugin{cni.PTP, cni.Bridge} {
		t.Run(string(plugin), func(t *testing.T) {
			bin := labtest.Plugins(t, cni.Config{Plugin: plugin}.Plugins()...)
			c := labtest.New(t, lab.Config{Nodes: 1, IPv6: true, PodLink: lab.CNI, CNIDir: t.TempDir(), CNIBinDir: bin})
			node := c.Nodes[0]
			ready := make(chan error, 1)
			go func() { // AddPod waits for it
				text, err := cni.Config{Plugin: plugin, PodCIDRs: node.PodCIDRs, DataDir: node.CNIDataDir()}.Conflist()
				if err == nil {
					_, err = cni.Install(filepath.Join(node.CNIConfDir(), cni.DefaultFile), text)
				}
				ready <- err
			}()
			client, server := labtest.Pod(t, node, "client", 0), labtest.Pod(t, node, "server", 80, inet.TCP)
			if err := <-ready; err != nil {
				t.Fatal(err)
			}
			for i, addr := range server.Addrs() {
				if !node.PodCIDRs[i].Contains(addr) {
					t.Errorf("address %s is not in %s", addr, node.PodCIDRs[i])
				}
				want := "server saw " + client.Addrs()[i].String()
				if got := client.Try(labtest.Patient(t), inet.Addr{IP: addr, Port: 80, Proto: inet.TCP}); got != want {
					t.Errorf("client to %s: got %q, want %q", addr, got, want)
				}
			}
			if server.Device() == client.Device() || !strings.HasPrefix(server.Device(), "veth") {
				t.Errorf("devices %q and %q", server.Device(), client.Device())
			}
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := node.Netlink().LinkByName(server.Device()); err == nil {
				t.Errorf("%s is left behind", server.Device())
			}
			if _, err := os.Stat(filepath.Join(node.CNIDataDir(), cni.DefaultName, server.Addr4.String())); !os.IsNotExist(err) {
				t.Errorf("%s is still taken: %v", server.Addr4, err)
			}
		})
	}
}

// TestCNIRefused checks that an error of the plugins is passed on and that nothing is
// left behind.
func TestCNIRefused(t *testing.T) {
	bin := labtest.Plugins(t, "ptp", "host-local")
	c := labtest.New(t, lab.Config{Nodes: 1, PodLink: lab.CNI, CNIDir: t.TempDir(), CNIBinDir: bin})
	node := c.Nodes[0]
	const none = `{"cniVersion": "1.0.0", "name": "none", "plugins": [{"type": "none"}]}`
	if err := os.WriteFile(filepath.Join(node.CNIConfDir(), "10-none.conflist"), []byte(none), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := node.AddPod("pod")
	if err == nil || !strings.Contains(err.Error(), `add pod pod to node-1 by CNI: plugin type="none" failed (add): `) {
		t.Errorf("error %v", err)
	}
	if pods := node.Pods(); len(pods) > 0 {
		t.Errorf("there is %v", pods)
	}
}
