// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"fairlead/internal/cni"
)

// FindPlugins returns a directory that has all of the plugins, among those where
// distributions and runtimes put them.
func FindPlugins(plugins ...string) (string, error) {
	dirs := []string{"/usr/lib/cni", "/usr/libexec/cni", cni.DefaultBinDir}
	for _, dir := range dirs {
		if len(cni.Missing(dir, plugins)) == 0 {
			return dir, nil
		}
	}
	return "", fmt.Errorf("find CNI plugins %v (Debian: containernetworking-plugins): none of %v has them all", plugins, dirs)
}

// CNIConfDir is the directory of this node's conflist, with PodLink CNI.
func (n *Node) CNIConfDir() string { return n.cniDir("net.d") }

// CNIDataDir is the directory for the plugins' own state. The other nodes of this
// machine must not see it.
func (n *Node) CNIDataDir() string { return n.cniDir("data") }

func (n *Node) cniDir(name string) string {
	return filepath.Join(n.cluster.Config.CNIDir, n.Name, name)
}

func (n *Node) makeCNIDirs() error {
	for _, dir := range []string{n.CNIConfDir(), n.CNIDataDir(), n.cniDir("cache")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make directory of CNI: %w", err)
		}
	}
	return nil
}

// attachment holds the facts that a runtime keeps about a pod between ADD and DEL.
type attachment struct {
	runner *libcni.CNIConfig
	list   *libcni.NetworkConfigList
	conf   *libcni.RuntimeConf
}

// conflist waits for the node to be ready for pods. As with a runtime the file
// whose name sorts first counts.
func (n *Node) conflist() (list *libcni.NetworkConfigList, err error) {
	var files []string
	err = n.poll("conflist in "+n.CNIConfDir(), func() (bool, error) {
		files, err = libcni.ConfFiles(n.CNIConfDir(), []string{".conf", ".conflist", ".json"})
		return len(files) > 0, err
	})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromFile(slices.Min(files))
}

// wireCNI runs the plugins with ADD, which connect the pod.
func (p *Pod) wireCNI() error {
	cfg := p.Node.cluster.Config
	list, err := p.Node.conflist()
	if err != nil {
		return err
	}
	p.cni = &attachment{
		runner: libcni.NewCNIConfigWithCacheDir([]string{cfg.CNIBinDir}, p.Node.cniDir("cache"), nil),
		list:   list,
		conf:   &libcni.RuntimeConf{ContainerID: p.Name, IfName: uplink, NetNS: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.NS.Fd())},
	}
	var result *types100.Result
	err = p.Node.NS.Do(func() error {
		r, err := p.cni.runner.AddNetworkList(p.Node.cluster.plugins, list, p.cni.conf)
		if err != nil {
			return err
		}
		result, err = types100.NewResultFromResult(r)
		return err
	})
	if err == nil {
		err = p.adopt(result)
	}
	if err != nil {
		// A runtime does the same, because the pod may be connected in part.
		return errors.Join(fmt.Errorf("add pod %s to %s by CNI: %w", p.Name, p.Node.Name, err), p.unwireCNI())
	}
	return nil
}

// adopt takes over the device and addresses that the plugins made.
func (p *Pod) adopt(r *types100.Result) error {
	for _, ip := range r.IPs {
		addr, ok := netip.AddrFromSlice(ip.Address.IP)
		switch addr = addr.Unmap(); {
		case !ok:
			return fmt.Errorf("%v is no address", ip.Address)
		case addr.Is4():
			p.Addr4 = addr
		default:
			p.Addr6 = addr
		}
	}
	for _, dev := range r.Interfaces {
		if dev.Sandbox == "" && strings.HasPrefix(dev.Name, "veth") {
			p.device = dev.Name
		}
	}
	return errors.Join(p.waitUp(uplink), p.Node.waitUp(p.device))
}

// unwireCNI runs the plugins with DEL, which remove the pod.
func (p *Pod) unwireCNI() error {
	err := p.Node.NS.Do(func() error {
		return p.cni.runner.DelNetworkList(p.Node.cluster.plugins, p.cni.list, p.cni.conf)
	})
	if err != nil {
		return fmt.Errorf("remove pod %s from %s by CNI: %w", p.Name, p.Node.Name, err)
	}
	return nil
}
