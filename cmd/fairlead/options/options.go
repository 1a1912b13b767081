// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package options turns flags, and the files that they name, into configurations.
package options

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json

	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/node"
	"fairlead/internal/flannel"
	"fairlead/internal/leftovers"
	"fairlead/internal/tail"
	"fairlead/proxier/resolve"
)

// Config is everything that flags and files of the agent say.
type Config struct {
	Proxier   resolve.Config
	Node      node.Config
	API       API
	Manifests string // file or directory; "" is none
	// EndEstablished ends established TCP connections to removed endpoints.
	EndEstablished bool
	Serve          Serve
	// SyncTimeout is how long a change may wait for the kernel before the agent is
	// unhealthy: twice the sync period, as in kube-proxy.
	SyncTimeout time.Duration
	Log         *tail.Log         // of what the process logs
	InitOnly    bool              // write the settings below /proc/sys, then end
	Files       map[string][]byte // configuration files and their content
	Warnings    []Warning
	Effective   map[string]any // answer of /configz
}

// API says how to reach the API server.
type API struct {
	Kubeconfig, Master       string
	ContentType, AcceptTypes string // "" is the default
	QPS                      float32
	Burst                    int
}

// Serve says on which addresses the agent answers; "" is none.
type Serve struct {
	Metrics, Health string
	Secure          Secure
	Probe           string // a second address of what Health serves
	SocketDir       string // of the socket for commands
	HardFail        bool   // end when an address is in use
	Profiling       bool
}

// Run holds the flags of the agent. See NewRun.
type Run struct {
	nodeFlags
	kubeProxyFlags
	network     networkFlags
	kubeconfig  string
	metricsAddr string
	secure      Secure
	healthAddr  string
	probeAddr   string
	socketDir   string
	replace     []string
	logging     *logsapi.LoggingConfiguration
	log         *tail.Log // of what goes to the standard error

	replaceOwners []leftovers.Owner // of replace

	ignored  []*ignored        // flags that are accepted with a warning
	warnings []Warning         // about those, and about fields of files
	files    map[string][]byte // content of configuration files
	netConf  *flannel.NetConf  // nil without --net-config-path
}

// NewRun returns the flags with their defaults.
func NewRun() *Run {
	return &Run{logging: logsapi.NewLoggingConfiguration(), log: &tail.Log{}}
}

// Register adds all flags to cmd, in groups.
func (f *Run) Register(cmd *cobra.Command) { f.RegisterWith(cmd, func(*cliflag.NamedFlagSets) {}) }

// RegisterWith is Register for a command that has flags of its own. add puts them into
// groups, which stand before those of the agent.
func (f *Run) RegisterWith(cmd *cobra.Command, add func(*cliflag.NamedFlagSets)) {
	var groups cliflag.NamedFlagSets
	add(&groups)
	source := groups.FlagSet("Source")
	source.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file of the API server; default without --manifests is the pod's service account")
	source.StringVar(&f.manifests, "manifests", "", "file or directory of Kubernetes manifests; the agent follows their changes")
	nodes := groups.FlagSet("Node")
	f.nodeFlags.register(nodes)
	nodes.StringSliceVar(&f.replace, "replace", nil, "kube-proxy, flannel, or both: once Services and the pods' network are ready, remove the objects of these programs from this node, unless they still run")
	f.network.register(groups.FlagSet("Pod network"))
	serve := groups.FlagSet("Serving")
	serve.StringVar(&f.metricsAddr, "metrics-bind-address", "127.0.0.1:"+metricsPort, "address and port of /metrics, /state, /proxyMode, /configz and the status page; empty for none")
	f.secure.register(serve)
	serve.StringVar(&f.healthAddr, "healthz-bind-address", "0.0.0.0:"+healthzPort, "address and port of /healthz, /livez and /readyz; empty for none. kube-proxy uses the same default")
	serve.StringVar(&f.probeAddr, "probe-bind-address", "", "second address and port of /healthz, /livez and /readyz, for the kubelet's probes: kube-proxy on the same node would answer those to its port; empty for none")
	serve.StringVar(&f.socketDir, "socket-dir", ask.DefaultDir, "directory of the socket through which commands such as fairlead status ask the agent: the file agent-N.sock, where N is the number of the network namespace, with mode 0600; empty for none")
	f.kubeProxyFlags.register(source, nodes, serve, groups.FlagSet("Kernel"))
	logsapi.AddFlags(f.logging, groups.FlagSet("Logs"))
	groups.FlagSet("Logs").VisitAll(func(f *pflag.Flag) {
		// These are alpha, and have no effect without a feature gate.
		f.Hidden = strings.HasPrefix(f.Name, "log-json-") || strings.HasPrefix(f.Name, "log-text-")
	})
	Sections(cmd, &groups)
	f.ignored = registerHidden(cmd.Flags())
}

// Config reads the files that flags name, checks everything and sets up logging. Its
// error has a line for each mistake.
func (f *Run) Config(fs *pflag.FlagSet) (*Config, error) {
	if err := f.load(fs); err != nil {
		return nil, err
	}
	f.network.adopt(f.netConf, func(flag string) bool { return fs.Lookup(flag).Changed })
	cfg, err := f.config()
	cfg.KeepInvalid = f.conntrack.BeLiberal
	errs := []error{err, f.network.apply(&cfg), f.validate(),
		existing("--kubeconfig", f.kubeconfig),
		listenAddress("--metrics-bind-address", f.metricsAddr),
		listenAddress("--healthz-bind-address", f.healthAddr),
		listenAddress("--probe-bind-address", f.probeAddr),
		absolute("--socket-dir", f.socketDir),
		f.secure.validate(f.manifests == "" || f.kubeconfig != "" || f.master != ""),
	}
	if f.replaceOwners, err = replaceable(f.replace, &f.network); err != nil {
		errs = append(errs, fmt.Errorf("--replace: %w", err))
	}
	gates, err := f.gates()
	if err != nil {
		errs = append(errs, err)
	} else if err := f.applyLogging(gates); err != nil {
		errs = append(errs, fmt.Errorf("--logging-format: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	f.warnings = append(f.warnings, withoutEffect(fs, &f.network, f.localMode)...)
	return f.complete(cfg, fs), nil
}

// applyLogging sends the log to the standard error, and keeps the end of it.
func (f *Run) applyLogging(gates featuregate.FeatureGate) error {
	streams := &logsapi.LoggingOptions{ErrorStream: io.MultiWriter(os.Stderr, f.log), InfoStream: io.MultiWriter(os.Stdout, f.log)}
	return logsapi.ValidateAndApplyWithOptions(f.logging, streams, gates) //nolint:wrapcheck // the caller names the flag
}

func (f *Run) complete(cfg resolve.Config, fs *pflag.FlagSet) *Config {
	n := f.network.node()
	n.Conntrack, n.SysctlDir, n.Replace = f.conntrack.Conntrack, f.conntrack.dir, f.replaceOwners
	return &Config{
		Proxier: cfg, Node: n,
		API: API{
			Kubeconfig: f.kubeconfig, Master: f.master,
			ContentType: f.contentType, AcceptTypes: f.acceptTypes, QPS: f.qps, Burst: f.burst,
		},
		Manifests: f.manifests, EndEstablished: f.conntrack.endRemoved,
		Serve:       Serve{Metrics: f.metricsAddr, Secure: f.secure, Health: f.healthAddr, Probe: f.probeAddr, SocketDir: f.socketDir, HardFail: f.hardFail, Profiling: f.profiling},
		SyncTimeout: 2 * f.syncPeriod, InitOnly: f.initOnly,
		Files: f.files, Warnings: f.warnings, Effective: configz(cfg, fs), Log: f.log,
	}
}
