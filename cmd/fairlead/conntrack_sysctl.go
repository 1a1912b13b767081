// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

// conntrackFlags are limits of conntrack that kube-proxy sets. Zero leaves the
// kernel's.
type conntrackFlags struct {
	dir                    string
	maxPerCore, min        int32
	established, closeWait time.Duration
	beLiberal              bool
	endRemoved             bool
	udpTimeout, udpAssured time.Duration
}

func (f *conntrackFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.dir, "sysctl-dir", "/proc/sys/net", "where /proc/sys/net is writable; in a container it is not")
	fs.Int32Var(&f.maxPerCore, "conntrack-max-per-core", 0, "flows to track per CPU core, 0 to leave the limit; a limit that is higher stays. Default with --config 32768")
	fs.Int32Var(&f.min, "conntrack-min", 0, "flows to track at least, whatever --conntrack-max-per-core comes to. Default with --config 131072")
	fs.DurationVar(&f.established, "conntrack-tcp-timeout-established", 0, "idle time of TCP flows, 0 to leave the kernel's. Default with --config 24h")
	fs.DurationVar(&f.closeWait, "conntrack-tcp-timeout-close-wait", 0, "time of TCP flows in CLOSE_WAIT, 0 to leave the kernel's. Default with --config 1h")
	fs.BoolVar(&f.beLiberal, "conntrack-tcp-be-liberal", false, "accept TCP segments outside of the window as valid")
	fs.BoolVar(&f.endRemoved, "end-tcp-of-removed-endpoints", false, "end established TCP connections whose endpoint was removed: the next segment of the client is answered with a reset, where a timeout would take minutes")
	fs.DurationVar(&f.udpTimeout, "conntrack-udp-timeout", 0, "idle time of UDP flows without answer, 0 to leave the kernel's")
	fs.DurationVar(&f.udpAssured, "conntrack-udp-timeout-stream", 0, "idle time of UDP flows with answers, 0 to leave the kernel's")
}

func (f *conntrackFlags) validate() error {
	var errs []error
	for _, v := range []struct {
		flag string
		n    int64
	}{
		{"max-per-core", int64(f.maxPerCore)}, {"min", int64(f.min)},
		{"tcp-timeout-established", int64(f.established)}, {"tcp-timeout-close-wait", int64(f.closeWait)},
		{"udp-timeout", int64(f.udpTimeout)}, {"udp-timeout-stream", int64(f.udpAssured)},
	} {
		if v.n < 0 {
			errs = append(errs, fmt.Errorf("--conntrack-%s: is below 0", v.flag))
		}
	}
	return errors.Join(errs...)
}

// kernelLimit is a file below netfilter/ and what to write into it.
type kernelLimit struct {
	name  string
	value int
	raise bool // a higher value stays
}

// sysctls follows kube-proxy: the hash table gets a bucket for four flows. The
// kernel lets a network namespace of its own have timeouts, but no limits.
func (f *conntrackFlags) sysctls(cpus int) []kernelLimit {
	var out []kernelLimit
	if f.maxPerCore > 0 {
		limit := int(min(math.MaxInt32, max(int64(f.min), int64(f.maxPerCore)*int64(cpus))))
		out = append(out, kernelLimit{"nf_conntrack_buckets", limit / 4, true}, kernelLimit{"nf_conntrack_max", limit, true})
	}
	for _, t := range []struct {
		name string
		d    time.Duration
	}{
		{"nf_conntrack_tcp_timeout_established", f.established},
		{"nf_conntrack_tcp_timeout_close_wait", f.closeWait},
		{"nf_conntrack_udp_timeout", f.udpTimeout},
		{"nf_conntrack_udp_timeout_stream", f.udpAssured},
	} {
		if t.d > 0 {
			out = append(out, kernelLimit{t.name, int((t.d + time.Second - 1) / time.Second), false})
		}
	}
	if f.beLiberal {
		out = append(out, kernelLimit{"nf_conntrack_tcp_be_liberal", 1, false})
	}
	return out
}

// run applies the limits once the table, whose rules need it, has had the kernel
// load conntrack.
func (f *conntrackFlags) run(ctx context.Context, ready func() bool) error {
	if await(ctx, ready) {
		if err := f.apply(runtime.NumCPU()); err != nil {
			klog.FromContext(ctx).Error(err, "Limits of conntrack stay as they are; is --sysctl-dir writable?")
		}
	}
	return nil
}

// apply writes what differs, all that can be written.
func (f *conntrackFlags) apply(cpus int) error {
	var errs []error
	for _, s := range f.sysctls(cpus) {
		errs = append(errs, s.write(f.dir))
	}
	return errors.Join(errs...)
}

func (s kernelLimit) write(dir string) error {
	file := filepath.Join(dir, "netfilter", s.name)
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read sysctl: %w", err)
	}
	have, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && (have == s.value || s.raise && have > s.value) {
		return nil
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(s.value)), 0); err != nil {
		return fmt.Errorf("set sysctl to %d: %w", s.value, err)
	}
	return nil
}
