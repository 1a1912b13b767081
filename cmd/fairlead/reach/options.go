// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// DefaultNamespace is made by a test and removed at its end.
const DefaultNamespace = "fairlead-test"

// Addresses for documentation (RFC 5737, RFC 3849), which no network has. Services of the
// test get them, so that only the table can lead packets to them anywhere.
func unusedAddrs() (external, balancer []netip.Addr) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("2001:db8::200")},
		[]netip.Addr{netip.MustParseAddr("192.0.2.201"), netip.MustParseAddr("2001:db8::201")}
}

// Options say what to test.
type Options struct {
	Kubeconfig string // "" is KUBECONFIG, ~/.kube/config or the pod's service account
	// Namespace is made and removed if it does not exist. Of one that exists only the
	// test's own objects are removed.
	Namespace string
	Image     string   // of fairlead; "" takes that of an agent
	Nodes     []string // by name; empty is all that are ready
	Peers     int      // other nodes that each client tries; 0 is all
	HostPort  uint16   // of servers in the network of their node
	// PodHostPort is the hostPort of servers in the pod network; 0 is none.
	PodHostPort uint16
	Egress      []string // HOST:PORT
	Timeout     time.Duration
	Keep        bool // leave the objects in place
}

// Validate checks the values.
func (o *Options) Validate() error {
	var errs []error
	if msgs := validation.ValidateNamespaceName(o.Namespace, false); len(msgs) > 0 {
		errs = append(errs, fmt.Errorf("--namespace: %q: %s", o.Namespace, strings.Join(msgs, ", ")))
	}
	if o.HostPort == 0 {
		errs = append(errs, errors.New("--host-port: 0 is no port"))
	}
	if o.PodHostPort == o.HostPort {
		errs = append(errs, fmt.Errorf("--pod-host-port: %d is that of --host-port", o.PodHostPort))
	}
	if o.Peers < 0 {
		errs = append(errs, fmt.Errorf("--peers: %d is less than 0", o.Peers))
	}
	if o.Timeout < time.Second {
		errs = append(errs, fmt.Errorf("--timeout: %s is less than a second", o.Timeout))
	}
	for _, to := range o.Egress {
		if _, port, err := net.SplitHostPort(to); err != nil || port == "" {
			errs = append(errs, fmt.Errorf("--egress: %q is not HOST:PORT", to))
		}
	}
	return errors.Join(errs...)
}

func (o *Options) client() (kubernetes.Interface, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	cfg.QPS, cfg.Burst, cfg.WarningHandler = 50, 100, rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	return client, nil
}
