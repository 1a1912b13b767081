// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
)

// kubeProxyFlags are flags of kube-proxy that mean the same here, besides those
// of nodeFlags.
type kubeProxyFlags struct {
	configPath, netConfPath string
	master                  string
	contentType             string
	acceptTypes             string
	qps                     float32
	burst                   int
	mode                    string
	bindAddress             string
	hardFail                bool
	profiling               bool
	initOnly                bool
	syncPeriod              time.Duration
	featureGates            map[string]bool
	conntrack               conntrackFlags
}

func (f *kubeProxyFlags) register(source, node, serve, kernel *pflag.FlagSet) {
	source.StringVar(&f.configPath, "config", "", "kube-proxy's configuration file; flags win over it. When it changes the agent ends, to be started again")
	source.StringVar(&f.netConfPath, "net-config-path", "", "flannel's net-conf.json, or the directory it is in")
	source.StringVar(&f.master, "master", "", "URL of the API server, in place of the kubeconfig's")
	source.StringVar(&f.contentType, "kube-api-content-type", "", "what the agent sends to the API server; default Protobuf")
	source.StringVar(&f.acceptTypes, "kube-api-accept-content-types", "", "what the API server may send; default Protobuf, else JSON")
	source.Float32Var(&f.qps, "kube-api-qps", 5, "requests to the API server per second; watches do not count")
	source.IntVar(&f.burst, "kube-api-burst", 10, "requests to the API server at once")
	node.StringVar(&f.bindAddress, "bind-address", "0.0.0.0", "address of this node, in place of the Node object's first one of the family; 0.0.0.0 or :: is none, and chooses the family of default addresses to serve on")
	node.StringVar(&f.mode, "proxy-mode", "", "mode of kube-proxy that the configuration file was written for: iptables (default), ipvs or nftables. Served is with nftables")
	serve.BoolVar(&f.hardFail, "bind-address-hard-fail", false, "end when an address to serve on is taken, instead of trying again")
	serve.BoolVar(&f.profiling, "profiling", false, "serve /debug/pprof beside /metrics")
	serve.DurationVar(&f.syncPeriod, "sync-period", 30*time.Second, "half of how long a change may wait for the kernel before the agent counts as unhealthy")
	source.Var(cliflag.NewMapStringBool(&f.featureGates), "feature-gates", "feature gates of Kubernetes components; those of logs exist here")
	f.conntrack.register(kernel)
	kernel.BoolVar(&f.initOnly, "init-only", false, "set what is set below /proc/sys, and end")
}

// validate returns everything that is wrong with the flags.
func (f *kubeProxyFlags) validate() error {
	var errs []error
	if f.syncPeriod <= 0 {
		errs = append(errs, fmt.Errorf("--sync-period: %v is not above 0", f.syncPeriod))
	}
	if f.qps < 0 {
		errs = append(errs, fmt.Errorf("--kube-api-qps: %v is below 0", f.qps))
	}
	if f.burst < 0 {
		errs = append(errs, fmt.Errorf("--kube-api-burst: %d is below 0", f.burst))
	}
	return errors.Join(append(errs, f.conntrack.validate())...)
}

// aliases are kube-proxy's other names of flags.
func aliases() [][2]string {
	return [][2]string{
		{"hostname-override", "node-name"},
		{"iptables-masquerade-bit", "masquerade-bit"},
		{"iptables-sync-period", "sync-period"},
		{"ipvs-sync-period", "sync-period"},
	}
}

// ignored is a flag of kube-proxy that is accepted, and named in a warning.
type ignored struct {
	name, why string
	isBool    bool
	given     bool
}

func ignoredFlags() []*ignored {
	return []*ignored{
		{name: "iptables-localhost-nodeports", why: noLocalhost, isBool: true},
		{name: "iptables-min-sync-period", why: noMinPeriod},
		{name: "ipvs-min-sync-period", why: noMinPeriod},
		{name: "ipvs-scheduler", why: noIPVS},
		{name: "ipvs-exclude-cidrs", why: noIPVS},
		{name: "ipvs-strict-arp", why: noIPVS, isBool: true},
		{name: "ipvs-tcp-timeout", why: noIPVS},
		{name: "ipvs-tcpfin-timeout", why: noIPVS},
		{name: "ipvs-udp-timeout", why: noIPVS},
		{name: "config-sync-period", why: noRefresh},
		{name: "oom-score-adj", why: noOOMScore},
		{name: "show-hidden-metrics-for-version", why: noHidden},
		{name: "healthz-port", why: "is deprecated; use --healthz-bind-address"},
		{name: "metrics-port", why: "is deprecated; use --metrics-bind-address"},
		{name: "machine-id-file", why: noEffect},
		{name: "boot-id-file", why: noEffect},
		{name: "proxy-port-range", why: noEffect},
	}
}

// Set, String and Type make an ignored flag a pflag.Value.
func (i *ignored) Set(string) error { i.given = true; return nil }
func (i *ignored) String() string   { return "" }
func (i *ignored) Type() string     { return "string" }

// refused are flags of kube-proxy that ask for something other than to run; to
// run all the same is not what was asked for.
func refused() map[string]string {
	return map[string]string{
		"cleanup":         "is a command of its own: fairlead cleanup --of=kube-proxy",
		"write-config-to": "is not supported; /configz answers with the configuration",
	}
}

// registerHidden adds those flags that help does not show. fs has the others.
func registerHidden(fs *pflag.FlagSet) []*ignored {
	list := ignoredFlags()
	for name, why := range refused() {
		list = append(list, &ignored{name: name, why: why, isBool: name == "cleanup"})
	}
	for _, i := range list {
		flag := fs.VarPF(i, i.name, "", i.why)
		flag.Hidden = true
		if i.isBool {
			flag.NoOptDefVal = "true"
		}
	}
	for _, a := range aliases() {
		target := fs.Lookup(a[1])
		fs.AddFlag(&pflag.Flag{Name: a[0], Usage: "is --" + a[1], Value: target.Value, DefValue: target.DefValue, Hidden: true})
	}
	return list
}

// kubeProxyWarnings returns the flags that were given in vain.
func kubeProxyWarnings(list []*ignored) ([]warning, error) {
	var warnings []warning
	var errs []error
	for _, i := range list {
		switch {
		case !i.given:
		case refused()[i.name] != "":
			errs = append(errs, fmt.Errorf("--%s: %s", i.name, i.why))
		default:
			warnings = append(warnings, warning{"--" + i.name, i.why})
		}
	}
	return warnings, errors.Join(errs...)
}

// adoptAliases counts flags as given whose other name was.
func adoptAliases(fs *pflag.FlagSet) {
	for _, a := range aliases() {
		if fs.Lookup(a[0]).Changed {
			fs.Lookup(a[1]).Changed = true
		}
	}
}
