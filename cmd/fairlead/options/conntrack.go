// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"fairlead/cmd/fairlead/node"
)

// conntrackFlags are the limits of conntrack that kube-proxy sets.
type conntrackFlags struct {
	node.Conntrack
	endRemoved bool
	dir        string // where /proc/sys/net is writable
}

func (f *conntrackFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.dir, "sysctl-dir", "/proc/sys/net", "directory where /proc/sys/net is writable; in a container /proc/sys is read-only")
	fs.Int32Var(&f.MaxPerCore, "conntrack-max-per-core", 0, "maximum number of tracked flows per CPU core; 0 keeps the kernel's limit, and so does a higher limit. Default with --config 32768")
	fs.Int32Var(&f.Min, "conntrack-min", 0, "lower bound of the limit that follows from --conntrack-max-per-core. Default with --config 131072")
	fs.DurationVar(&f.Established, "conntrack-tcp-timeout-established", 0, "idle timeout of established TCP flows; 0 keeps the kernel's. Default with --config 24h")
	fs.DurationVar(&f.CloseWait, "conntrack-tcp-timeout-close-wait", 0, "timeout of TCP flows in CLOSE_WAIT; 0 keeps the kernel's. Default with --config 1h")
	fs.BoolVar(&f.BeLiberal, "conntrack-tcp-be-liberal", false, "accept TCP segments outside of the window")
	fs.BoolVar(&f.endRemoved, "end-tcp-of-removed-endpoints", false, "end established TCP connections whose endpoint was removed: the next segment of the client is answered with a reset, where a timeout would take minutes")
	fs.DurationVar(&f.UDPTimeout, "conntrack-udp-timeout", 0, "idle timeout of UDP flows without reply; 0 keeps the kernel's")
	fs.DurationVar(&f.UDPAssured, "conntrack-udp-timeout-stream", 0, "idle timeout of UDP flows with replies; 0 keeps the kernel's")
}

func (f *conntrackFlags) validate() error {
	var errs []error
	for _, v := range []struct {
		flag string
		n    int64
	}{
		{"max-per-core", int64(f.MaxPerCore)}, {"min", int64(f.Min)},
		{"tcp-timeout-established", int64(f.Established)}, {"tcp-timeout-close-wait", int64(f.CloseWait)},
		{"udp-timeout", int64(f.UDPTimeout)}, {"udp-timeout-stream", int64(f.UDPAssured)},
	} {
		if v.n < 0 {
			errs = append(errs, fmt.Errorf("--conntrack-%s: must not be negative", v.flag))
		}
	}
	return errors.Join(errs...)
}
