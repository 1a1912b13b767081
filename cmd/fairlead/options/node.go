// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/proxier/resolve"
)

// nodeFlags say what the table depends on beside objects. Flags with the meaning of
// a flag of kube-proxy have its name.
type nodeFlags struct {
	manifests     string
	nodeName      string
	clusterCIDRs  []string
	nodePortAddrs []string
	serviceCIDRs  []string
	externalIPs   []string
	masqueradeBit int
	masqueradeAll bool
	counters      bool
	localMode     string
	bridge        string
	prefix        string
	nodeAddress   netip.Addr // see resolve.Config
}

func (f *nodeFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.nodeName, "node-name", "", "name of this node's Node object; default is the host name in lower case")
	fs.StringSliceVar(&f.clusterCIDRs, "cluster-cidr", nil, "ranges of all pods, one per family; connections from other addresses to a ClusterIP are masqueraded")
	fs.StringSliceVar(&f.nodePortAddrs, "nodeport-addresses", []string{resolve.NodePortPrimary}, `addresses that serve NodePorts: CIDRs, or "primary" for the first address of the Node in each family, or "all"; empty is all`)
	fs.StringSliceVar(&f.serviceCIDRs, "service-cidr", nil, "ranges of ClusterIPs while the cluster has no ServiceCIDR objects; connections to unallocated addresses in them are dropped")
	fs.StringSliceVar(&f.externalIPs, "external-ip-policy", []string{"any"}, `external IPs that Services may have: CIDRs, "any" or "none"; Services with others are reported (CVE-2020-8554)`)
	fs.IntVar(&f.masqueradeBit, "masquerade-bit", 14, "bit of the packet mark, 0 to 31, that requests masquerade")
	fs.BoolVar(&f.masqueradeAll, "masquerade-all", false, "masquerade connections of pods to ClusterIPs, too")
	fs.BoolVar(&f.counters, "backend-counters", false, "count connections to each endpoint in the table and in fairlead_backend_connections_total; needs memory for each endpoint of each Service")
	fs.StringVar(&f.localMode, "detect-local-mode", resolve.LocalClusterCIDR, "how to recognise connections of this cluster's pods: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix")
	fs.StringVar(&f.bridge, "pod-bridge-interface", "", "bridge of the pods, for --detect-local-mode=BridgeInterface")
	fs.StringVar(&f.prefix, "pod-interface-name-prefix", "", "prefix of the names of pods' interfaces, for --detect-local-mode=InterfaceNamePrefix")
}

// config checks all flags. It returns an error for each one that is wrong.
func (f *nodeFlags) config() (resolve.Config, error) {
	var errs []error
	cfg := resolve.Config{
		NodeName:          strings.ToLower(strings.TrimSpace(f.nodeName)),
		NodePortAddresses: nodePortKeywords(f.nodePortAddrs),
		NodeAddress:       f.nodeAddress,
		MasqueradeAll:     f.masqueradeAll,
		BackendCounters:   f.counters,
		LocalMode:         f.localMode, BridgeInterface: f.bridge, InterfaceNamePrefix: f.prefix,
	}
	if cfg.NodeName == "" {
		host, err := os.Hostname()
		errs = append(errs, err)
		cfg.NodeName = strings.ToLower(strings.TrimSpace(host))
	}
	if cfg.NodeName != "" && len(validation.IsDNS1123Subdomain(cfg.NodeName)) > 0 {
		errs = append(errs, fmt.Errorf("--node-name: %q is not the name of a node", cfg.NodeName))
	}
	if f.masqueradeBit < 0 || f.masqueradeBit > 31 {
		errs = append(errs, fmt.Errorf("--masquerade-bit: %d is not from 0 to 31", f.masqueradeBit))
	} else {
		cfg.MasqueradeMark = 1 << f.masqueradeBit
	}
	var err error
	cfg.ClusterCIDRs, err = prefixes("--cluster-cidr", f.clusterCIDRs)
	errs = append(errs, err)
	cfg.ServiceCIDRs, err = prefixes("--service-cidr", f.serviceCIDRs)
	errs = append(errs, err)
	cfg.ExternalIPs, err = externalIPPolicy(f.externalIPs)
	errs = append(errs, err, cfg.Validate(), existing("--manifests", f.manifests))
	return cfg, errors.Join(errs...)
}

// nodePortKeywords replaces kube-proxy's keywords by CIDRs. Loopback addresses serve no
// NodePorts, so "localhost" alone serves none.
func nodePortKeywords(list []string) []string {
	var out []string
	for _, s := range list {
		switch s = strings.TrimSpace(s); s {
		case "all":
			out = append(out, "0.0.0.0/0", "::/0")
		case "localhost":
			out = append(out, "127.0.0.0/8", "::1/128")
		default:
			out = append(out, s)
		}
	}
	return out
}

func prefixes(flag string, list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	var errs []error
	for _, s := range list {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not a CIDR", flag, s))
			continue
		}
		out = append(out, p.Masked())
	}
	return out, errors.Join(errs...)
}

// externalIPPolicy returns nil for "any" and an empty list for "none".
func externalIPPolicy(list []string) ([]netip.Prefix, error) {
	switch {
	case len(list) == 0 || len(list) == 1 && strings.TrimSpace(list[0]) == "any":
		return nil, nil
	case len(list) == 1 && strings.TrimSpace(list[0]) == "none":
		return []netip.Prefix{}, nil
	}
	return prefixes("--external-ip-policy", list)
}

// listenAddress accepts host:port, or an empty text. Names are resolved later.
func listenAddress(flag, s string) error {
	if s == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if _, ipErr := netip.ParseAddr(host); err == nil && host != "" && ipErr != nil && len(validation.IsDNS1123Subdomain(host)) > 0 {
		err = ipErr
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not an address and port", flag, s)
	}
	return nil
}

// absolute accepts an absolute path, or an empty text.
func absolute(flag, path string) error {
	if path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("%s: %q is not an absolute path", flag, path)
	}
	return nil
}

// existing accepts the path of an existing file, or an empty text.
func existing(flag, path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}
