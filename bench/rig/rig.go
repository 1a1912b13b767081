// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"k8s.io/client-go/kubernetes"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
)

// PodNet has the pod CIDRs of the lab in it, and addresses for a million endpoints.
var PodNet = netip.MustParsePrefix("10.128.0.0/9")

// Config says what a rig needs.
type Config struct {
	Bin   string // directory of controlplane and fairlead
	Dir   string // for data and logs; must exist
	Seats int
}

// Rig is a cluster to measure in. Close removes it.
type Rig struct {
	Config
	Cluster *lab.Cluster
	Plane   *controlplane.Plane
	API     kubernetes.Interface
	Seats   []*Seat

	store *controlplane.Store
	VIPs  []netip.Addr // of the Services that Fill made
}

// New starts the control plane and makes the seats.
func New(ctx context.Context, cfg Config) (r *Rig, err error) {
	r = &Rig{Config: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.Cluster, err = lab.New(ctx, lab.Config{Nodes: cfg.Seats, NoPodRoutes: true}); err != nil {
		return r, err
	}
	r.Plane, err = controlplane.Start(ctx, controlplane.Config{
		Host: r.Cluster.Outside, Binary: filepath.Join(cfg.Bin, "controlplane"), Dir: cfg.Dir,
		PodCIDRs: []netip.Prefix{PodNet}, ServiceCIDRs: []netip.Prefix{serviceNet},
	})
	if err != nil {
		return r, err
	}
	r.API = r.Plane.Client()
	if r.store, err = r.Plane.Store(ctx); err != nil {
		return r, err
	}
	for _, n := range r.Cluster.Nodes {
		s, err := r.newSeat(ctx, n)
		if err != nil {
			return r, err
		}
		r.Seats = append(r.Seats, s)
	}
	return r, r.addProbes(ctx)
}

// Close removes the cluster with everything that runs in it.
func (r *Rig) Close() error {
	var errs []error
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.Cluster != nil {
		errs = append(errs, r.Cluster.Close())
	}
	return errors.Join(errs...)
}

// Kubeconfig returns the path of a kubeconfig of the administrator.
func (r *Rig) Kubeconfig(name string) (string, error) {
	return r.Plane.Kubeconfig(name+".kubeconfig", "https://"+r.Cluster.Outside.Addr4.String()+":6443", r.Plane.AdminAuth())
}

// Need reports a program that was not built.
func Need(bin string, programs ...string) error {
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			return fmt.Errorf("find program: %w; run \"make build controlplane flanneld\"", err)
		}
	}
	return nil
}
