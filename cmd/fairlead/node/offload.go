// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/offload"
	"fairlead/internal/sysctl"
	"fairlead/internal/worker"
	"fairlead/overlay"
)

// Checksums is a kind of device whose checksums the kernel may compute.
type Checksums string

// The kinds: the devices of tunnels, and those that lead to other nodes.
const (
	TunnelChecksums Checksums = "tunnel"
	UplinkChecksums Checksums = "uplink"
)

// ParseChecksums reads a list of kinds.
func ParseChecksums(words []string) ([]Checksums, error) {
	var out []Checksums
	for _, word := range words {
		c := Checksums(strings.TrimSpace(word))
		if c != TunnelChecksums && c != UplinkChecksums {
			return nil, fmt.Errorf("%q is not tunnel or uplink", word)
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out, nil
}

// offloadInterval is the time between two checks. A device that was made anew, or that a
// program configured, has its offloads on again.
const offloadInterval = 10 * time.Second

// keepChecksums has the kernel compute checksums until ctx is done.
func (n *Network) keepChecksums(ctx context.Context) error {
	return worker.Repeat(ctx, offloadInterval, n.devices.Woken(), func() { n.applyChecksums(ctx) })
}

// applyChecksums checks and sets once.
func (n *Network) applyChecksums(ctx context.Context) {
	r := n.report.Load()
	if r == nil {
		return // the devices are not there yet
	}
	devices, err := n.checksumDevices(r)
	errs := []error{err}
	for _, dev := range devices {
		changed, err := offload.Disable(nil, dev)
		if changed {
			klog.FromContext(ctx).Info("Switched off checksum offload", "device", dev)
		}
		errs = append(errs, err)
	}
	n.store.Book().NodeReport(n.proxy.NodeName, "checksums", texts(errors.Join(errs...)))
}

func (n *Network) checksumDevices(r *overlay.Report) ([]string, error) {
	var out []string
	var err error
	for _, kind := range n.cfg.KernelChecksums {
		switch kind {
		case TunnelChecksums:
			out = append(out, r.Devices...)
		case UplinkChecksums:
			var uplinks []string
			uplinks, err = sysctl.Uplinks(r.Tunnel.Own)
			out = append(out, uplinks...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), err
}
