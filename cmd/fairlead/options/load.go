// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/component-base/featuregate"
	logsapi "k8s.io/component-base/logs/api/v1"

	"fairlead/internal/flannel"
)

// Ports of kube-proxy.
const (
	healthzPort = "10256"
	metricsPort = "10249"
)

// load completes the flags from the files that they name. A given flag overrides
// kube-proxy's file, which overrides flannel's.
func (f *Run) load(fs *pflag.FlagSet) error {
	adoptAliases(fs)
	var err error
	f.warnings, err = kubeProxyWarnings(f.ignored)
	errs := []error{err}
	f.files = map[string][]byte{}
	if f.configPath != "" {
		c, err := readConfigFile(f.configPath)
		if err == nil {
			f.files[f.configPath] = c.data
			err = c.apply(fs)
			f.warnings = append(f.warnings, c.warnings...)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, f.loadNetConf(fs), f.bind(fs))...)
}

// loadNetConf reads flannel's file. Its networks are the default of --cluster-cidr.
func (f *Run) loadNetConf(fs *pflag.FlagSet) error {
	if f.netConfPath == "" {
		return nil
	}
	c, err := flannel.Read(f.netConfPath)
	if err != nil {
		return fmt.Errorf("--net-config-path: %w", err)
	}
	f.netConf = c
	f.files[c.Path] = c.Data
	for _, name := range c.Unused {
		f.warnings = append(f.warnings, Warning{name, "applies to flannel only (" + c.Path + ")"})
	}
	if fs.Lookup("cluster-cidr").Changed {
		return nil
	}
	texts := make([]string, len(c.Networks))
	for i, p := range c.Networks {
		texts[i] = p.String()
	}
	return fs.Set("cluster-cidr", strings.Join(texts, ","))
}

// bind reads --bind-address, completes serving addresses without a port, and changes
// their defaults to IPv6 if the address is one.
func (f *Run) bind(fs *pflag.FlagSet) error {
	ip, err := netip.ParseAddr(f.bindAddress)
	if err != nil {
		return fmt.Errorf("--bind-address: %q is not an IP address", f.bindAddress)
	}
	if !ip.IsUnspecified() {
		f.nodeAddress = ip.Unmap()
	}
	if ip.Is6() && !ip.Is4In6() {
		for flag, addr := range map[string]string{
			"healthz-bind-address": "[::]:" + healthzPort, "metrics-bind-address": "[::1]:" + metricsPort,
		} {
			if !fs.Lookup(flag).Changed {
				err = errors.Join(err, fs.Set(flag, addr))
			}
		}
	}
	f.healthAddr = withPort(f.healthAddr, healthzPort)
	f.metricsAddr = withPort(f.metricsAddr, metricsPort)
	return err
}

// withPort adds the port to a bare IP address.
func withPort(addr, port string) string {
	if ip, err := netip.ParseAddr(addr); err == nil {
		return net.JoinHostPort(ip.String(), port)
	}
	return addr
}

// gates returns the feature gates of logging.
func (f *Run) gates() (featuregate.FeatureGate, error) {
	gates := featuregate.NewFeatureGate()
	if err := logsapi.AddFeatureGates(gates); err != nil {
		return nil, fmt.Errorf("--feature-gates: %w", err)
	}
	known := gates.GetAll()
	set := map[string]bool{}
	for _, name := range sortedKeys(f.featureGates) {
		if _, ok := known[featuregate.Feature(name)]; ok {
			set[name] = f.featureGates[name]
		} else {
			f.warnings = append(f.warnings, Warning{"featureGates." + name, "fairlead has no such feature gate"})
		}
	}
	if err := gates.SetFromMap(set); err != nil {
		return nil, fmt.Errorf("--feature-gates: %w", err)
	}
	return gates, nil
}
