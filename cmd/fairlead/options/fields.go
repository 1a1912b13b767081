// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import "slices"

// Modes of kube-proxy. The mode selects the section of the file and some defaults;
// fairlead always uses nftables.
const (
	modeIPTables = "iptables" // kube-proxy's own default
	modeIPVS     = "ipvs"
	modeNFTables = "nftables"
)

// field is a field of kube-proxy's configuration file.
type field struct {
	path  string           // as in the file, with dots
	flag  string           // the flag that takes the value; "" if the field is ignored
	why   string           // the reason for ignoring it
	modes []string         // modes in which the field counts; nil is all
	zero  bool             // whether 0 and false are values; null is none
	text  func(any) string // converts a value to the flag's text; nil is plain
}

// Reasons for ignoring a field or a flag.
const (
	noIPVS      = "fairlead has no IPVS mode"
	noWindows   = "applies to Windows"
	noMinPeriod = "changes are written at once, at a cost that depends on the change alone"
	noLocalhost = "use \"localhost\" in --nodeport-addresses to serve NodePorts on 127.0.0.1"
	noRefresh   = "watches need no refresh: a gap is detected and listed again"
	noHidden    = "fairlead has no hidden metrics"
	noOOMScore  = "the kubelet sets -997 for Pods of priority class system-node-critical"
	noEffect    = "has no effect in kube-proxy either"
)

// fields returns all fields of kubeproxy.config.k8s.io/v1alpha1. A test compares them
// with the types.
func fields() []field {
	tables := []string{modeIPTables, modeIPVS}
	only := func(mode string) []string { return []string{mode} }
	return []field{
		{path: "featureGates", flag: "feature-gates"},
		{path: "clientConnection.kubeconfig", flag: "kubeconfig"},
		{path: "clientConnection.acceptContentTypes", flag: "kube-api-accept-content-types"},
		{path: "clientConnection.contentType", flag: "kube-api-content-type"},
		{path: "clientConnection.qps", flag: "kube-api-qps"},
		{path: "clientConnection.burst", flag: "kube-api-burst"},
		{path: "logging.format", flag: "logging-format"},
		{path: "logging.flushFrequency", flag: "log-flush-frequency", text: nanoseconds},
		{path: "logging.verbosity", flag: "v"},
		{path: "logging.vmodule", flag: "vmodule", text: vmodule},
		{path: "logging.options.text.splitStream", flag: "log-text-split-stream"},
		{path: "logging.options.text.infoBufferSize", flag: "log-text-info-buffer-size"},
		{path: "logging.options.json.splitStream", flag: "log-json-split-stream"},
		{path: "logging.options.json.infoBufferSize", flag: "log-json-info-buffer-size"},
		{path: "hostnameOverride", flag: "node-name"},
		{path: "bindAddress", flag: "bind-address"},
		{path: "healthzBindAddress", flag: "healthz-bind-address"},
		{path: "metricsBindAddress", flag: "metrics-bind-address"},
		{path: "bindAddressHardFail", flag: "bind-address-hard-fail"},
		{path: "enableProfiling", flag: "profiling"},
		{path: "showHiddenMetricsForVersion", why: noHidden},
		{path: "mode", flag: "proxy-mode"},
		{path: "iptables.masqueradeBit", flag: "masquerade-bit", modes: tables, zero: true},
		{path: "iptables.masqueradeAll", flag: "masquerade-all", modes: tables},
		{path: "iptables.localhostNodePorts", why: noLocalhost},
		{path: "iptables.syncPeriod", flag: "sync-period", modes: only(modeIPTables)},
		{path: "iptables.minSyncPeriod", why: noMinPeriod},
		{path: "ipvs.syncPeriod", flag: "sync-period", modes: only(modeIPVS)},
		{path: "ipvs.minSyncPeriod", why: noMinPeriod},
		{path: "ipvs.scheduler", why: noIPVS},
		{path: "ipvs.excludeCIDRs", why: noIPVS},
		{path: "ipvs.strictARP", why: noIPVS},
		{path: "ipvs.tcpTimeout", why: noIPVS},
		{path: "ipvs.tcpFinTimeout", why: noIPVS},
		{path: "ipvs.udpTimeout", why: noIPVS},
		{path: "nftables.masqueradeBit", flag: "masquerade-bit", modes: only(modeNFTables), zero: true},
		{path: "nftables.masqueradeAll", flag: "masquerade-all", modes: only(modeNFTables)},
		{path: "nftables.syncPeriod", flag: "sync-period", modes: only(modeNFTables)},
		{path: "nftables.minSyncPeriod", why: noMinPeriod},
		{path: "winkernel.networkName", why: noWindows},
		{path: "winkernel.sourceVip", why: noWindows},
		{path: "winkernel.enableDSR", why: noWindows},
		{path: "winkernel.rootHnsEndpointName", why: noWindows},
		{path: "winkernel.forwardHealthCheckVip", why: noWindows},
		{path: "detectLocalMode", flag: "detect-local-mode"},
		{path: "detectLocal.bridgeInterface", flag: "pod-bridge-interface"},
		{path: "detectLocal.interfaceNamePrefix", flag: "pod-interface-name-prefix"},
		{path: "clusterCIDR", flag: "cluster-cidr"},
		{path: "nodePortAddresses", flag: "nodeport-addresses"},
		{path: "oomScoreAdj", why: noOOMScore, zero: true},
		{path: "conntrack.maxPerCore", flag: "conntrack-max-per-core", zero: true},
		{path: "conntrack.min", flag: "conntrack-min", zero: true},
		{path: "conntrack.tcpEstablishedTimeout", flag: "conntrack-tcp-timeout-established", zero: true},
		{path: "conntrack.tcpCloseWaitTimeout", flag: "conntrack-tcp-timeout-close-wait", zero: true},
		{path: "conntrack.tcpBeLiberal", flag: "conntrack-tcp-be-liberal"},
		{path: "conntrack.udpTimeout", flag: "conntrack-udp-timeout"},
		{path: "conntrack.udpStreamTimeout", flag: "conntrack-udp-timeout-stream"},
		{path: "configSyncPeriod", why: noRefresh},
		{path: "portRange", why: noEffect},
		{path: "windowsRunAsService", why: noWindows},
	}
}

// counts reports whether the field has an effect in the mode.
func (f field) counts(mode string) bool { return f.modes == nil || slices.Contains(f.modes, mode) }
