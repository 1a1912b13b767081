// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"fairlead/proxier"
)

// client returns nil when the API server is not a source.
func (f *runFlags) client() (kubernetes.Interface, error) {
	var cfg *rest.Config
	var err error
	switch {
	case f.kubeconfig != "" || f.master != "":
		cfg, err = clientcmd.BuildConfigFromFlags(f.master, f.kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
	case f.manifests != "":
		return nil, nil
	default:
		cfg, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("where do Services come from? give --kubeconfig or --manifests, or run in a pod")
		}
		if err != nil {
			return nil, fmt.Errorf("read the pod's service account: %w", err)
		}
	}
	cfg.ContentType = cmp.Or(f.contentType, runtime.ContentTypeProtobuf)
	cfg.AcceptContentTypes = cmp.Or(f.acceptTypes, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON)
	cfg.QPS, cfg.Burst = f.qps, f.burst
	cfg.UserAgent = "fairlead/" + versionText()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	return client, nil
}

// newEvents returns nil where there is no API server to tell.
func newEvents(ctx context.Context, client kubernetes.Interface, node string) (*proxier.Events, error) {
	if client == nil {
		return nil, nil
	}
	return proxier.NewEvents(ctx, client, node)
}
