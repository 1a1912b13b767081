// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/kube-proxy/config/v1alpha1"
	kjson "sigs.k8s.io/json"

	"fairlead/proxier/resolve"
)

const configHead = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newRun returns a command with the flags of run.
func newRun() (*cobra.Command, *Run) {
	cmd, flags := &cobra.Command{Use: "run"}, NewRun()
	flags.Register(cmd)
	return cmd, flags
}

// loaded returns the flags of run, after args and the files that they name.
func loaded(t *testing.T, args ...string) (*Run, *pflag.FlagSet, error) {
	t.Helper()
	cmd, flags := newRun()
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return flags, cmd.Flags(), flags.load(cmd.Flags())
}

// values returns the flags that are not what they are without arguments.
func values(t *testing.T, fs *pflag.FlagSet) map[string]string {
	t.Helper()
	got := map[string]string{}
	fs.VisitAll(func(f *pflag.Flag) {
		if v := f.Value.String(); v != f.DefValue && !isAlias(f.Name) && f.Name != "config" && f.Name != "net-config-path" {
			got[f.Name] = v
		}
	})
	return got
}

// TestConfigKubeadm: what kubeadm wrote for kube-proxy is honoured without a
// warning, and what it leaves open is as in kube-proxy.
func TestConfigKubeadm(t *testing.T) {
	f, fs, err := loaded(t, "--config=testdata/kubeadm.yaml", "--hostname-override=worker-1")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"kubeconfig":                        "/var/lib/kube-proxy/kubeconfig.conf",
		"cluster-cidr":                      "[10.244.0.0/16,fd00:10:244::/56]",
		"node-name":                         "worker-1",
		"nodeport-addresses":                "[all]",
		"conntrack-max-per-core":            "32768",
		"conntrack-min":                     "131072",
		"conntrack-tcp-timeout-established": "24h0m0s",
		"conntrack-tcp-timeout-close-wait":  "1h0m0s",
	}
	if diff := cmp.Diff(want, values(t, fs)); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if len(f.warnings) > 0 {
		t.Errorf("warnings: %v", f.warnings)
	}
}

// TestConfigAll sets each field that is honoured.
func TestConfigAll(t *testing.T) {
	path := writeFile(t, "config.conf", configHead+`
featureGates: {LoggingAlphaOptions: true, TopologyAwareHints: true}
clientConnection: {kubeconfig: /k, acceptContentTypes: application/json, contentType: application/json, qps: 2.5, burst: 7}
logging: {format: json, flushFrequency: 7000000000, verbosity: 4, vmodule: [{filePattern: loop, verbosity: 5}, {filePattern: nat*, verbosity: 2}]}
hostnameOverride: worker-1
bindAddress: 192.0.2.7
healthzBindAddress: 127.0.0.1
metricsBindAddress: 0.0.0.0:9999
bindAddressHardFail: true
enableProfiling: true
mode: nftables
nftables: {masqueradeBit: 0, masqueradeAll: true, syncPeriod: 10s}
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cni0, interfaceNamePrefix: veth}
clusterCIDR: 10.1.0.0/16
nodePortAddresses: [primary, 198.51.100.0/24]
conntrack: {maxPerCore: 0, min: 5, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 60s, tcpBeLiberal: true, udpTimeout: 5s, udpStreamTimeout: 6s}
`)
	f, fs, err := loaded(t, "--config="+path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"feature-gates": "LoggingAlphaOptions=true,TopologyAwareHints=true",
		"kubeconfig":    "/k", "kube-api-accept-content-types": "application/json", "kube-api-content-type": "application/json",
		"kube-api-qps": "2.5", "kube-api-burst": "7",
		"logging-format": "json", "log-flush-frequency": "7s", "v": "4", "vmodule": "loop=5,nat*=2",
		"node-name": "worker-1", "bind-address": "192.0.2.7",
		"healthz-bind-address": "127.0.0.1:10256", "metrics-bind-address": "0.0.0.0:9999",
		"bind-address-hard-fail": "true", "profiling": "true",
		"proxy-mode": "nftables", "masquerade-bit": "0", "masquerade-all": "true", "sync-period": "10s",
		"detect-local-mode": "BridgeInterface", "pod-bridge-interface": "cni0", "pod-interface-name-prefix": "veth",
		"cluster-cidr": "[10.1.0.0/16]", "nodeport-addresses": "[primary,198.51.100.0/24]",
		"conntrack-min": "5", "conntrack-tcp-timeout-close-wait": "1m0s", "conntrack-tcp-be-liberal": "true",
		"conntrack-udp-timeout": "5s", "conntrack-udp-timeout-stream": "6s",
	}
	if diff := cmp.Diff(want, values(t, fs)); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if f.nodeAddress.String() != "192.0.2.7" {
		t.Errorf("node address %s", f.nodeAddress)
	}
	if _, err := f.gates(); err != nil {
		t.Error(err)
	}
	if want := []Warning{{"featureGates.TopologyAwareHints", "fairlead has no such feature gate"}}; !slices.Equal(f.warnings, want) {
		t.Errorf("warnings %v, want %v", f.warnings, want)
	}
	checkEffective(t, effective(fs))
}

// checkEffective decodes what /configz answers as kube-proxy's clients would.
func checkEffective(t *testing.T, tree map[string]any) {
	t.Helper()
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var c v1alpha1.KubeProxyConfiguration
	if strict, err := kjson.UnmarshalStrict(text, &c); err != nil || len(strict) > 0 {
		t.Fatalf("%s: %v, %v", text, err, strict)
	}
	if c.Mode != "nftables" || c.ClusterCIDR != "10.1.0.0/16" || *c.NFTables.MasqueradeBit != 0 || !c.NFTables.MasqueradeAll ||
		c.NFTables.SyncPeriod.Duration != 10*time.Second || c.ClientConnection.QPS != 2.5 || !c.FeatureGates["LoggingAlphaOptions"] ||
		!slices.Equal(c.NodePortAddresses, []string{"primary", "198.51.100.0/24"}) || c.Logging.Verbosity != 4 {
		t.Errorf("effective configuration: %s", text)
	}
}

// TestConfigWarnings: what is set and not honoured is named.
func TestConfigWarnings(t *testing.T) {
	path := writeFile(t, "config.conf", configHead+`
mode: ipvs
ipvs: {scheduler: rr, strictARP: true, syncPeriod: 20s}
iptables: {masqueradeBit: 15, localhostNodePorts: true, syncPeriod: 40s}
nftables: {masqueradeAll: true}
oomScoreAdj: 0
winkernel: {networkName: x}
udpIdleTimeout: 250ms
conntrack: {maxx: 3}
`)
	f, _, err := loaded(t, "--config="+path, "--ipvs-scheduler=wrr", "--ipvs-strict-arp", "--config-sync-period=5m", "--sync-period=50s")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range f.warnings {
		got = append(got, strings.ReplaceAll(w.Setting+": "+w.Reason, path, "FILE"))
	}
	want := []string{
		"--ipvs-scheduler: " + noIPVS,
		"--ipvs-strict-arp: " + noIPVS,
		"--config-sync-period: " + noRefresh,
		`FILE: unknown field "udpIdleTimeout"`,
		`FILE: unknown field "conntrack.maxx"`,
		"iptables.localhostNodePorts: " + noLocalhost,
		"iptables.syncPeriod: is not for mode ipvs",
		"ipvs.scheduler: " + noIPVS,
		"ipvs.strictARP: " + noIPVS,
		"nftables.masqueradeAll: is not for mode ipvs",
		"winkernel.networkName: " + noWindows,
		"oomScoreAdj: " + noOOMScore,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if f.masqueradeBit != 15 || f.masqueradeAll || f.syncPeriod != 50*time.Second {
		t.Errorf("bit %d, all %v, sync period %s", f.masqueradeBit, f.masqueradeAll, f.syncPeriod)
	}
}

func TestConfigWrong(t *testing.T) {
	for text, want := range map[string]string{
		configHead + "conntrack: {min: many, tcpCloseWaitTimeout: 5}\nmode: magic": `--config: conntrack.min: .*--config: conntrack.tcpCloseWaitTimeout: `,
		configHead + "ipvs: {strictARP: 7}":                                        `ipvs.strictARP of type bool`,
		configHead + "mode: userspace":                                             `mode: "userspace" is not one of`,
		configHead + "\t{":                                                         `yaml: `,
		"apiVersion: v1\nkind: ConfigMap":                                          `apiVersion "v1" and kind "ConfigMap" are not`,
	} {
		_, _, err := loaded(t, "--config="+writeFile(t, "config.conf", text))
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		got := strings.ReplaceAll(err.Error(), "\n", " ")
		for part := range strings.SplitSeq(want, ".*") {
			if !strings.Contains(got, part) {
				t.Errorf("%s: error %s, want %s", text, got, part)
			}
		}
	}
	for arg, want := range map[string]string{
		"--config=/missing": "--config: open /missing", "--net-config-path=/missing": "--net-config-path: open /missing",
		"--cleanup": "fairlead cleanup", "--write-config-to=x": "/configz", "--bind-address=x": "--bind-address: ",
	} {
		if _, _, err := loaded(t, arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", arg, err, want)
		}
	}
}

// TestConfigFields: the table has each field of the types, and no other.
func TestConfigFields(t *testing.T) {
	var want []string
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			nested := f.Type.Kind() == reflect.Struct && f.Type.Name() != "Duration" && f.Type.Name() != "TimeOrMetaDuration" && f.Type.Name() != "QuantityValue"
			switch {
			case f.Name == "TypeMeta" || name == "-":
			case nested && name == "":
				walk(prefix, f.Type)
			case nested:
				walk(prefix+name+".", f.Type)
			default:
				want = append(want, prefix+name)
			}
		}
	}
	walk("", reflect.TypeFor[v1alpha1.KubeProxyConfiguration]())
	var got []string
	cmd, _ := newRun()
	for _, f := range fields() {
		got = append(got, f.path)
		if (f.flag == "") == (f.why == "") || f.flag != "" && cmd.Flags().Lookup(f.flag) == nil {
			t.Errorf("%s: flag %q, why %q", f.path, f.flag, f.why)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// TestNetConfig: flannel's networks count where nobody else names any.
func TestNetConfig(t *testing.T) {
	path := writeFile(t, "net-conf.json", `{"Network": "10.5.0.0/16", "SubnetLen": 25, "Backend": {"Type": "vxlan", "VNI": 7}}`)
	f, fs, err := loaded(t, "--net-config-path="+filepath.Dir(path))
	if err != nil || f.netConf.Backend.VNI != 7 || fs.Lookup("cluster-cidr").Value.String() != "[10.5.0.0/16]" {
		t.Errorf("network %v, backend %v, %v", f.clusterCIDRs, f.netConf, err)
	}
	if len(f.warnings) != 1 || f.warnings[0].Setting != "SubnetLen" {
		t.Errorf("warnings %v", f.warnings)
	}
	f, _, err = loaded(t, "--net-config-path="+path, "--config=testdata/kubeadm.yaml")
	if err != nil || !slices.Equal(f.clusterCIDRs, []string{"10.244.0.0/16", "fd00:10:244::/56"}) {
		t.Errorf("network %v, %v: kube-proxy's should win", f.clusterCIDRs, err)
	}
}

func TestBindAddress(t *testing.T) {
	f, _, err := loaded(t, "--bind-address=::", "--metrics-bind-address=127.0.0.1")
	if err != nil || f.healthAddr != "[::]:10256" || f.metricsAddr != "127.0.0.1:10249" || f.nodeAddress.IsValid() {
		t.Errorf("%q, %q, %s, %v", f.healthAddr, f.metricsAddr, f.nodeAddress, err)
	}
	got := nodePortKeywords([]string{"all", "localhost", " primary"})
	if want := []string{"0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128", "primary"}; !slices.Equal(got, want) {
		t.Errorf("keywords give %q", got)
	}
}

func TestConfigz(t *testing.T) {
	_, fs, err := loaded(t, "--hostname-override=a", "--ipvs-scheduler=rr")
	if err != nil {
		t.Fatal(err)
	}
	answer := configz(resolve.Config{NodeName: "a"}, fs)
	flags, ok := answer["flags"].(map[string]any)
	if !ok || flags["node-name"] != "a" || flags["ipvs-scheduler"] != nil || flags["hostname-override"] != nil || flags["profiling"] != false {
		t.Errorf("flags: %v", flags)
	}
}
