// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"fairlead/cmd/fairlead/options"
	"fairlead/proxier/source"
	"fairlead/proxier/status"
)

// clients are two clients of the API server, which share their connections, and the
// observer of their requests. All are nil if the API server is no source.
type clients struct {
	kubernetes kubernetes.Interface
	objects    source.Client // reads what the table follows from
	server     *apiServer
}

func newClients(ctx context.Context, c *options.Config) (clients, error) {
	cfg, err := clientConfig(c)
	if cfg == nil || err != nil {
		return clients{}, err
	}
	out := clients{server: newAPIServer(ctx, cfg.Host)}
	cfg.Wrap(out.server.wrap)
	shared, err := rest.HTTPClientFor(cfg)
	if err == nil {
		out.kubernetes, err = kubernetes.NewForConfigAndClient(cfg, shared)
	}
	if err == nil {
		out.objects, err = source.NewClient(cfg, shared)
	}
	if err != nil {
		return clients{}, fmt.Errorf("reach the API server: %w", err)
	}
	return out, nil
}

// ClientOf returns a function that makes a client for a command, or returns nil if the
// API server is no source.
func ClientOf(c *options.Config) func(context.Context) (kubernetes.Interface, error) {
	return func(ctx context.Context) (kubernetes.Interface, error) {
		of, err := newClients(quietly(ctx), c)
		return of.kubernetes, err
	}
}

// quietly returns a context whose logger omits news such as that the API server was reached,
// unless the verbosity is 1 or more. Commands print their output instead.
func quietly(ctx context.Context) context.Context {
	return klog.NewContext(ctx, klog.FromContext(ctx).V(1))
}

// clientConfig returns nil if the API server is no source.
func clientConfig(c *options.Config) (*rest.Config, error) {
	f := &c.API
	var cfg *rest.Config
	var err error
	switch {
	case f.Kubeconfig != "" || f.Master != "":
		cfg, err = clientcmd.BuildConfigFromFlags(f.Master, f.Kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", plain(err))
		}
	case c.Manifests != "":
		return nil, nil
	default:
		cfg, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("no source of Services: set --kubeconfig or --manifests, or run in a pod")
		}
		if err != nil {
			return nil, fmt.Errorf("read the pod's service account: %w", err)
		}
	}
	cfg.ContentType = cmp.Or(f.ContentType, runtime.ContentTypeProtobuf)
	cfg.AcceptContentTypes = cmp.Or(f.AcceptTypes, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON)
	cfg.QPS, cfg.Burst = f.QPS, f.Burst
	cfg.UserAgent = "fairlead/" + options.Version()
	return cfg, nil
}

// newEvents returns nil without an API server.
func newEvents(ctx context.Context, client kubernetes.Interface, node string) (*status.Events, error) {
	if client == nil {
		return nil, nil
	}
	return status.NewEvents(ctx, client, node)
}
