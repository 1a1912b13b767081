// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"fairlead/cmd/fairlead/guard"
)

// secure prepares the port with TLS. It has a client of its own, so that its questions
// never take the turn of those about Services.
func (a *agent) secure(ctx context.Context) error {
	s := &a.cfg.Serve
	if exposed(s.Metrics) {
		klog.FromContext(ctx).Info("Serving metrics without TLS to every host that reaches the address; --secure-metrics-bind-address asks the API server who may read", "address", s.Metrics)
	}
	if s.Secure.Addr == "" {
		return nil
	}
	cfg, err := clientConfig(a.cfg)
	if err != nil {
		return err
	}
	cfg.Timeout = queryTimeout
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("reach the API server: %w", err)
	}
	names := []string{a.cfg.Proxier.NodeName, "localhost"}
	if host, _, err := net.SplitHostPort(s.Secure.Addr); err == nil && host != "" {
		names = append(names, host)
	}
	a.certificate, err = guard.NewCertificate(klog.FromContext(ctx), s.Secure.CertFile, s.Secure.KeyFile, names)
	if err != nil {
		return fmt.Errorf("--secure-metrics-cert-file: %w", err)
	}
	a.guarded = guard.New(client)
	return nil
}

// exposed reports whether other hosts may reach an address.
func exposed(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsLoopback()
}
