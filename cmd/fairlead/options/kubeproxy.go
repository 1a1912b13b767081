// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
)

// kubeProxyFlags are flags of kube-proxy with the same meaning, in addition to those of
// nodeFlags.
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
	source.StringVar(&f.configPath, "config", "", "kube-proxy's configuration file; flags override it. The agent ends when the file changes, so that its supervisor starts it again")
	source.StringVar(&f.netConfPath, "net-config-path", "", "flannel's net-conf.json, or its directory")
	source.StringVar(&f.master, "master", "", "URL of the API server; overrides the kubeconfig's")
	source.StringVar(&f.contentType, "kube-api-content-type", "", "content type of requests to the API server; default Protobuf")
	source.StringVar(&f.acceptTypes, "kube-api-accept-content-types", "", "content types that the API server may answer with; default Protobuf, else JSON")
	source.Float32Var(&f.qps, "kube-api-qps", 5, "maximum rate of requests to the API server, per second; watches do not count")
	source.IntVar(&f.burst, "kube-api-burst", 10, "maximum burst of requests to the API server")
	node.StringVar(&f.bindAddress, "bind-address", "0.0.0.0", "address of this node; overrides the first one of its family in the Node object. 0.0.0.0 or :: overrides none, and selects the family of the default serving addresses")
	node.StringVar(&f.mode, "proxy-mode", "", "mode of kube-proxy that --config was written for: iptables (default), ipvs or nftables. It selects the section of the file; fairlead always uses nftables")
	serve.BoolVar(&f.hardFail, "bind-address-hard-fail", false, "end when a serving address is in use; false retries")
	serve.BoolVar(&f.profiling, "profiling", false, "serve /debug/pprof beside /metrics")
	serve.DurationVar(&f.syncPeriod, "sync-period", 30*time.Second, "half of the time that a change may wait for the kernel before /healthz and /livez fail")
	source.Var(cliflag.NewMapStringBool(&f.featureGates), "feature-gates", "feature gates; only those of logging have an effect")
	f.conntrack.register(kernel)
	kernel.BoolVar(&f.initOnly, "init-only", false, "write the settings below /proc/sys, then end")
}

// validate returns an error for each flag that is wrong.
func (f *kubeProxyFlags) validate() error {
	var errs []error
	if f.syncPeriod <= 0 {
		errs = append(errs, fmt.Errorf("--sync-period: %v must be above 0", f.syncPeriod))
	}
	if f.qps < 0 {
		errs = append(errs, fmt.Errorf("--kube-api-qps: %v must not be negative", f.qps))
	}
	if f.burst < 0 {
		errs = append(errs, fmt.Errorf("--kube-api-burst: %d must not be negative", f.burst))
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

// ignored is a flag of kube-proxy that is accepted with a warning.
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

// refused are flags of kube-proxy that ask for something other than to run. They are
// errors, because running is not what the user wants.
func refused() map[string]string {
	return map[string]string{
		"cleanup":         "is a separate command: fairlead cleanup --of=kube-proxy",
		"write-config-to": "is not supported: read the configuration from /configz of the metrics port",
	}
}

// registerHidden adds the flags that help omits. fs already has all others.
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

// kubeProxyWarnings returns a warning for each given flag that is ignored.
func kubeProxyWarnings(list []*ignored) ([]Warning, error) {
	var warnings []Warning
	var errs []error
	for _, i := range list {
		switch {
		case !i.given:
		case refused()[i.name] != "":
			errs = append(errs, fmt.Errorf("--%s: %s", i.name, i.why))
		default:
			warnings = append(warnings, Warning{"--" + i.name, i.why})
		}
	}
	return warnings, errors.Join(errs...)
}

// adoptAliases marks a flag as given if one of its aliases was.
func adoptAliases(fs *pflag.FlagSet) {
	for _, a := range aliases() {
		if fs.Lookup(a[0]).Changed {
			fs.Lookup(a[1]).Changed = true
		}
	}
}
