// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package fleet asks the agents of all nodes of a cluster for their state. It finds them
// by the labels of their pods, and asks them through the API server or by the address of
// the node.
package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"

	"fairlead/cmd/fairlead/state"
)

const (
	atOnce   = 16               // agents that are asked at the same time
	patience = 10 * time.Second // for one agent
)

// Options say which agents to ask, and how.
type Options struct {
	Kubeconfig string // "" is KUBECONFIG, ~/.kube/config or the pod's service account
	Namespace  string // of the agents' pods; "" is all
	Selector   string // of the labels of the agents' pods
	// Direct asks by the address of the node. To a port with TLS the bearer token of the
	// kubeconfig goes along, if CAFile has signed the agent's certificate.
	Direct bool
	CAFile string
}

// Fleet asks agents. Its methods are safe for concurrent use.
type Fleet struct {
	opts   Options
	client kubernetes.Interface
	direct *http.Client
	token  func() (string, error) // of the user
}

// New reads the kubeconfig.
func New(opts Options) (*Fleet, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = opts.Kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	cfg.QPS, cfg.Burst = atOnce, 2*atOnce
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	f := &Fleet{opts: opts, client: client, token: func() (string, error) { return tokenOf(cfg) }}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if opts.CAFile != "" {
		pem, err := os.ReadFile(opts.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--agent-ca: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--agent-ca: %s has no certificate", opts.CAFile)
		}
	}
	f.direct = &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true},
		// A redirect could carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f, nil
}

func tokenOf(cfg *rest.Config) (string, error) {
	if cfg.BearerTokenFile == "" {
		return cfg.BearerToken, nil
	}
	b, err := os.ReadFile(cfg.BearerTokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return string(b), nil
}

// Ask returns an answer for each node, sorted and compared. An agent that does not answer
// has an error of its own; the returned error says that they could not be found.
func (f *Fleet) Ask(ctx context.Context) ([]state.Answer, error) {
	pods, err := f.pods(ctx)
	if err != nil {
		return nil, fmt.Errorf("find agents: %w", err)
	}
	nodes, err := f.nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("find nodes: %w", err)
	}
	var list []state.Answer
	for _, name := range nodes {
		if _, ok := pods[name]; !ok {
			list = append(list, state.Answer{Node: name, Error: "has no pod of the agent"})
		}
	}
	first := len(list)
	var order []*corev1.Pod
	for node, pod := range pods {
		list = append(list, state.Answer{Node: node})
		order = append(order, pod)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, pod := range order {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			s, err := f.ask(ctx, pod)
			if err != nil {
				list[first+i].Error = err.Error()
				return nil
			}
			list[first+i].State = s
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(list) == 0 {
		return nil, errors.New("find agents: no node and no pod matches the selector")
	}
	state.Compare(list)
	return list, nil
}

// pods returns the agents' pods by node. Of several on a node a running one counts.
func (f *Fleet) pods(ctx context.Context) (map[string]*corev1.Pod, error) {
	out := map[string]*corev1.Pod{}
	page := func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return f.client.CoreV1().Pods(f.opts.Namespace).List(ctx, o)
	}
	err := pager.New(page).EachListItem(ctx, metav1.ListOptions{LabelSelector: f.opts.Selector}, func(item runtime.Object) error {
		if pod, ok := item.(*corev1.Pod); ok && pod.Spec.NodeName != "" && (out[pod.Spec.NodeName] == nil || pod.Status.Phase == corev1.PodRunning) {
			out[pod.Spec.NodeName] = pod
		}
		return nil
	})
	return out, err //nolint:wrapcheck // the caller does
}

// nodes returns the names of all nodes but those that run Windows.
func (f *Fleet) nodes(ctx context.Context) ([]string, error) {
	var out []string
	page := func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return f.client.CoreV1().Nodes().List(ctx, o)
	}
	err := pager.New(page).EachListItem(ctx, metav1.ListOptions{LabelSelector: corev1.LabelOSStable + "!=windows"}, func(item runtime.Object) error {
		if node, ok := item.(*corev1.Node); ok {
			out = append(out, node.Name)
		}
		return nil
	})
	return out, err //nolint:wrapcheck // the caller does
}
