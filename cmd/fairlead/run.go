// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/klog/v2"

	"fairlead/internal/flannel"
	"fairlead/internal/leftovers"
	"fairlead/proxier"
)

// runFlags are the flags of the agent.
type runFlags struct {
	nodeFlags
	kubeProxyFlags
	network     networkFlags
	kubeconfig  string
	metricsAddr string
	healthAddr  string
	replace     []string
	logging     *logsapi.LoggingConfiguration

	replaceOwners []leftovers.Owner // that replace names

	ignored  []*ignored        // flags that are accepted in vain
	warnings []warning         // about those, and fields of files
	files    map[string][]byte // of configuration, as they were read
	netConf  *flannel.NetConf  // nil without --net-config-path
}

func newRunCommand() *cobra.Command {
	cmd, _ := newRun()
	return cmd
}

func newRun() (*cobra.Command, *runFlags) {
	flags := &runFlags{logging: logsapi.NewLoggingConfiguration()}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the network namespace it is started in",
		Long: `Run the agent in the network namespace it is started in. Services come from an
API server, from manifest files, or both. The agent needs CAP_NET_ADMIN. When it
ends it leaves the data path as it is, so that an upgrade drops no traffic.`,
		Example: `  fairlead run --kubeconfig /etc/kubernetes/proxy.conf --cluster-cidr 10.244.0.0/16
  fairlead run --manifests /etc/fairlead/manifests --node-name worker-1 --cluster-cidr 10.244.0.0/16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.config(cmd.Flags())
			if err != nil {
				return err
			}
			flags.warn(cmd.Context())
			if flags.initOnly {
				return flags.conntrack.apply(runtime.NumCPU())
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer context.AfterFunc(ctx, stop)() // a second signal ends us at once
			return flags.run(ctx, cfg, configz(cfg, cmd.Flags()))
		},
	}
	var groups cliflag.NamedFlagSets
	source := groups.FlagSet("Source")
	source.StringVar(&flags.kubeconfig, "kubeconfig", "", "file that says how to reach the API server; default, without --manifests, the pod's service account")
	source.StringVar(&flags.manifests, "manifests", "", "file or directory of Kubernetes manifests, whose changes are followed")
	node := groups.FlagSet("Node")
	flags.nodeFlags.register(node)
	node.StringSliceVar(&flags.replace, "replace", nil, "kube-proxy, flannel, or both: when Services and the pods' network are in place, remove what those left on this node, unless they still run")
	flags.network.register(groups.FlagSet("Pod network"))
	serve := groups.FlagSet("Serving")
	serve.StringVar(&flags.metricsAddr, "metrics-bind-address", "127.0.0.1:10249", "address and port of /metrics, /proxyMode and /configz; empty for none")
	serve.StringVar(&flags.healthAddr, "healthz-bind-address", "0.0.0.0:10256", "address and port of /healthz, /livez and /readyz; empty for none")
	flags.kubeProxyFlags.register(source, node, serve, groups.FlagSet("Kernel"))
	logsapi.AddFlags(flags.logging, groups.FlagSet("Logs"))
	groups.FlagSet("Logs").VisitAll(func(f *pflag.Flag) {
		// Alpha, and of no effect without a feature gate.
		f.Hidden = strings.HasPrefix(f.Name, "log-json-") || strings.HasPrefix(f.Name, "log-text-")
	})
	sections(cmd, &groups)
	flags.ignored = registerHidden(cmd.Flags())
	return cmd, flags
}

// config reads the files that flags name, checks everything and sets up logging.
func (f *runFlags) config(fs *pflag.FlagSet) (proxier.Config, error) {
	if err := f.load(fs); err != nil {
		return proxier.Config{}, err
	}
	f.network.adopt(f.netConf, func(flag string) bool { return fs.Lookup(flag).Changed })
	cfg, err := f.nodeFlags.config()
	cfg.KeepInvalid = f.conntrack.beLiberal
	errs := []error{err, f.network.apply(&cfg), f.kubeProxyFlags.validate(),
		existing("--kubeconfig", f.kubeconfig),
		listenAddress("--metrics-bind-address", f.metricsAddr),
		listenAddress("--healthz-bind-address", f.healthAddr),
	}
	if f.replaceOwners, err = replaceable(f.replace, &f.network); err != nil {
		errs = append(errs, fmt.Errorf("--replace: %w", err))
	}
	gates, err := f.gates()
	if err != nil {
		errs = append(errs, err)
	} else if err := logsapi.ValidateAndApply(f.logging, gates); err != nil {
		errs = append(errs, fmt.Errorf("--logging-format: %w", err))
	}
	return cfg, errors.Join(errs...)
}

// warn names what was asked for and is not done, once each.
func (f *runFlags) warn(ctx context.Context) {
	for _, w := range f.warnings {
		klog.FromContext(ctx).Info("Not honoured", "setting", w.setting, "why", w.why)
	}
}

// run runs the agent until ctx ends. It serves effective as /configz.
func (f *runFlags) run(ctx context.Context, cfg proxier.Config, effective any) error {
	log := klog.FromContext(ctx)
	log.Info("Starting", "version", versionText(), "node", cfg.NodeName)
	if cfg.LocalMode == proxier.LocalClusterCIDR && len(cfg.ClusterCIDRs) == 0 {
		log.Info("Pods cannot be told from other clients without --cluster-cidr, so nobody is masqueraded on the way to a ClusterIP")
	}
	a, err := newAgent(ctx, f, cfg)
	if err != nil {
		return err
	}
	defer a.close()
	group, ctx := errgroup.WithContext(ctx)
	a.follow(ctx, group)
	a.work(ctx, group)
	a.serve(ctx, group, effective)
	err = group.Wait()
	log.Info("Ending; the data path stays as it is")
	return err
}
