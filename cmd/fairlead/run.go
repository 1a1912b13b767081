// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"

	"fairlead/nat"
	"fairlead/proxier"
)

// runFlags are the flags of the agent.
type runFlags struct {
	nodeFlags
	kubeconfig  string
	metricsAddr string
	healthAddr  string
	logging     *logsapi.LoggingConfiguration
}

func newRunCommand() *cobra.Command {
	flags := runFlags{logging: logsapi.NewLoggingConfiguration()}
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
			cfg, err := flags.config()
			err = errors.Join(err, listenAddress("--metrics-bind-address", flags.metricsAddr),
				listenAddress("--healthz-bind-address", flags.healthAddr))
			if err != nil {
				return err
			}
			if err := logsapi.ValidateAndApply(flags.logging, nil); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			return flags.run(ctx, cfg)
		},
	}
	var groups cliflag.NamedFlagSets
	source := groups.FlagSet("source")
	source.StringVar(&flags.kubeconfig, "kubeconfig", "", "file that says how to reach the API server; default, without --manifests, the pod's service account")
	source.StringVar(&flags.manifests, "manifests", "", "file or directory of Kubernetes manifests, whose changes are followed")
	flags.register(groups.FlagSet("node"))
	serve := groups.FlagSet("serving")
	serve.StringVar(&flags.metricsAddr, "metrics-bind-address", "127.0.0.1:10249", "address and port of /metrics, /proxyMode and /configz; empty for none")
	serve.StringVar(&flags.healthAddr, "healthz-bind-address", "0.0.0.0:10256", "address and port of /healthz and /livez; empty for none")
	logsapi.AddFlags(flags.logging, groups.FlagSet("logs"))
	sections(cmd, &groups)
	return cmd
}

// run starts every goroutine of the agent but those of libraries, and of
// proxier.Run, which watches the table.
func (f *runFlags) run(ctx context.Context, cfg proxier.Config) error {
	log := klog.FromContext(ctx)
	log.Info("Starting", "version", version.Get().String(), "node", cfg.NodeName)
	client, err := f.client()
	if err != nil {
		return err
	}
	table, err := nat.Open(nil)
	if err != nil {
		return fmt.Errorf("open table: %w", err)
	}
	defer func() { _ = table.Close() }()

	store := proxier.NewStore()
	p := proxier.New(cfg, store, proxier.Deps{Table: table, Metrics: proxier.NewMetrics(legacyregistry.MustRegister)})
	group, ctx := errgroup.WithContext(ctx)
	if f.manifests != "" {
		store.Expect(proxier.SourceFiles)
		group.Go(func() error { return proxier.RunFiles(ctx, f.manifests, store) })
	}
	if client != nil {
		proxier.ExpectAPI(store)
		group.Go(func() error { return proxier.RunAPI(ctx, client, store) })
	}
	group.Go(func() error { return p.Run(ctx) })
	group.Go(func() error { return serveMetrics(ctx, f.metricsAddr, cfg) })
	group.Go(func() error { return serveHealth(ctx, f.healthAddr, p) })
	err = group.Wait()
	log.Info("Ending; the data path stays as it is")
	return err
}

// client returns nil when the API server is not a source.
func (f *runFlags) client() (kubernetes.Interface, error) {
	var cfg *rest.Config
	var err error
	switch {
	case f.kubeconfig != "":
		cfg, err = clientcmd.BuildConfigFromFlags("", f.kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
	case f.manifests != "":
		return nil, nil
	default:
		cfg, err = rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("where do Services come from? give --kubeconfig or --manifests, or run in a pod: %w", err)
		}
	}
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	cfg.UserAgent = "fairlead/" + version.Get().GitVersion
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	return client, nil
}
