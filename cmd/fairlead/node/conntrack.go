// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

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

	"fairlead/internal/worker"

	"k8s.io/klog/v2"
)

// Conntrack holds the limits of conntrack that kube-proxy sets. A zero value leaves
// the kernel's.
type Conntrack struct {
	MaxPerCore, Min        int32
	Established, CloseWait time.Duration // of TCP flows
	BeLiberal              bool          // accept TCP segments outside of the window
	UDPTimeout, UDPAssured time.Duration
}

// kernelLimit is a file below netfilter/ and what to write into it.
type kernelLimit struct {
	name  string
	value int
	raise bool // keep a higher value
}

// limits follows kube-proxy: the hash table gets one bucket for four flows. In a
// network namespace of its own the kernel allows timeouts, but no limits.
func (c *Conntrack) limits(cpus int) []kernelLimit {
	var out []kernelLimit
	if c.MaxPerCore > 0 {
		limit := int(min(math.MaxInt32, max(int64(c.Min), int64(c.MaxPerCore)*int64(cpus))))
		out = append(out, kernelLimit{"nf_conntrack_buckets", limit / 4, true}, kernelLimit{"nf_conntrack_max", limit, true})
	}
	for _, t := range []struct {
		name string
		d    time.Duration
	}{
		{"nf_conntrack_tcp_timeout_established", c.Established},
		{"nf_conntrack_tcp_timeout_close_wait", c.CloseWait},
		{"nf_conntrack_udp_timeout", c.UDPTimeout},
		{"nf_conntrack_udp_timeout_stream", c.UDPAssured},
	} {
		if t.d > 0 {
			out = append(out, kernelLimit{t.name, int((t.d-1)/time.Second) + 1, false})
		}
	}
	if c.BeLiberal {
		out = append(out, kernelLimit{"nf_conntrack_tcp_be_liberal", 1, false})
	}
	return out
}

// ApplyWhen calls Apply once ready returns true, then returns. The kernel loads
// conntrack when the first table that needs it is written.
func (c *Conntrack) ApplyWhen(ctx context.Context, ready func() bool, dir string) error {
	if worker.Await(ctx, readyInterval, ready) {
		if err := c.Apply(dir, runtime.NumCPU()); err != nil {
			klog.FromContext(ctx).Error(err, "Failed to set all limits of conntrack; check that --sysctl-dir is writable", "sysctlDir", dir)
		}
	}
	return nil
}

// Apply writes each limit whose value differs. It returns an error for each limit
// that it could not write. The directory dir is a writable /proc/sys/net.
func (c *Conntrack) Apply(dir string, cpus int) error {
	var errs []error
	for _, s := range c.limits(cpus) {
		errs = append(errs, s.write(dir))
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
