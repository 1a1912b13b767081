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
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"fairlead/conntrack"
	"fairlead/internal/flannel"
	"fairlead/internal/healthcheck"
	"fairlead/nat"
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
	logging     *logsapi.LoggingConfiguration

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
	flags.network.register(groups.FlagSet("Pod network"))
	serve := groups.FlagSet("Serving")
	serve.StringVar(&flags.metricsAddr, "metrics-bind-address", "127.0.0.1:10249", "address and port of /metrics, /proxyMode and /configz; empty for none")
	serve.StringVar(&flags.healthAddr, "healthz-bind-address", "0.0.0.0:10256", "address and port of /healthz and /livez; empty for none")
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

// run starts every goroutine of the agent but those of libraries, and of
// proxier.Run, which watches the table. It serves effective as /configz.
func (f *runFlags) run(ctx context.Context, cfg proxier.Config, effective any) error {
	log := klog.FromContext(ctx)
	client, err := f.client()
	if err != nil {
		return err
	}
	log.Info("Starting", "version", versionText(), "node", cfg.NodeName)
	if cfg.LocalMode == proxier.LocalClusterCIDR && len(cfg.ClusterCIDRs) == 0 {
		log.Info("Pods cannot be told from other clients without --cluster-cidr, so nobody is masqueraded on the way to a ClusterIP")
	}
	events, err := newEvents(ctx, client, cfg.NodeName)
	if err != nil {
		return err
	}
	table, err := nat.Open(nil)
	if err != nil {
		return fmt.Errorf("open table: %w", err)
	}
	defer func() { _ = table.Close() }()

	store := proxier.NewStore()
	metrics := proxier.NewMetrics(legacyregistry.MustRegister)
	cleaner := conntrack.NewCleaner(0)
	forgetter := nat.NewForgetter(nil)
	h := &health{node: cfg.NodeName, needsNode: client != nil, store: store, answers: metrics, timeout: 2 * f.syncPeriod}
	checks := healthcheck.New(healthcheck.Options{Healthy: h.keepsUp, Report: store.HealthCheck})
	network, err := newNetwork(&f.network, &cfg, store, metrics)
	if err != nil {
		return err
	}
	network.sysctlDir = f.conntrack.dir
	p := proxier.New(cfg, store, proxier.Deps{
		Table: table, Flows: cleaner, Clients: forgetter, Overlay: network.deps(), Health: checks, Events: events, Metrics: metrics,
	})
	h.proxier = p
	group, ctx := errgroup.WithContext(ctx)
	// All sources are expected before the first delivers.
	if f.manifests != "" {
		store.Expect(proxier.SourceFiles)
	}
	if client != nil {
		proxier.ExpectAPI(store)
		group.Go(func() error { return proxier.RunAPI(ctx, client, cfg.NodeName, store) })
	}
	if f.manifests != "" {
		group.Go(func() error { return proxier.RunFiles(ctx, f.manifests, store) })
	}
	group.Go(func() error { return p.Run(ctx) })
	group.Go(func() error {
		return cleaner.Run(ctx, func(s conntrack.Sweep) {
			metrics.Swept(s)
			if s.Err != nil {
				log.Error(s.Err, "Stale flows are not all gone; trying again")
			}
		})
	})
	group.Go(func() error {
		return forgetter.Run(ctx, func(clients int, err error) {
			metrics.Forgot(clients)
			if err != nil {
				log.Error(err, "Sticky clients of endpoints that are gone are not all forgotten; trying again")
			}
		})
	})
	network.start(ctx, group, p.Ready)
	group.Go(func() error { return checks.Run(ctx) })
	group.Go(func() error { return f.serve(ctx, f.metricsAddr, metricsHandler(effective, f.profiling)) })
	group.Go(func() error { return f.serve(ctx, f.healthAddr, h.handler()) })
	group.Go(func() error { return saveMemory(ctx, p.Ready) })
	group.Go(func() error { return watchConfig(ctx, f.files) })
	group.Go(func() error { return f.conntrack.run(ctx, p.Ready) })
	err = group.Wait()
	log.Info("Ending; the data path stays as it is")
	return err
}
