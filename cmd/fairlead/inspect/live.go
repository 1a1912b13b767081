// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
	"fairlead/conntrack"
	"fairlead/internal/cni"
	"fairlead/nat/listing"
)

// Live says what the node of this process is read with.
type Live struct {
	Version string      // of this program
	Config  view.Config // of the agent
	// Manifests is a file or directory of objects; "" is none.
	Manifests string
	// Client returns a client of the API server, or nil if it is no source of objects.
	Client func(context.Context) (kubernetes.Interface, error)
	// Agent asks the running agent for its state; nil if there is no way to ask.
	Agent func(context.Context) (json.RawMessage, error)
	// AgentLog asks the running agent for the end of its log; nil as Agent.
	AgentLog func(context.Context) (*state.Log, error)
	// Check makes all checks of the node; nil leaves them out.
	Check  func(context.Context) (*finding.Report, error)
	LogDir string // of the kubelet, with the logs of containers; "" is the usual one
}

// Node returns the node that this process runs on: the network namespace of the process,
// and the objects of the API server or of manifests.
func (l *Live) Node() view.Node { return &live{Live: l} }

type live struct {
	*Live
	client kubernetes.Interface // once it was needed
}

func (l *live) About(context.Context) (*view.About, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("read host name: %w", err)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("read kernel release: %w", err)
	}
	return &view.About{Time: time.Now().UTC(), Host: host, Kernel: unix.ByteSliceToString(uts.Release[:]), Version: l.Version}, nil
}

func (l *live) Config(context.Context) (*view.Config, error) {
	c := l.Live.Config
	return &c, nil
}

func (l *live) Table(ctx context.Context) (*listing.Table, error) { return LoadTable(ctx) }

func (l *live) Network(ctx context.Context) (*view.Network, error) { return loadNetwork(ctx) }

func (l *live) Conntrack(context.Context) (*view.Conntrack, error) {
	f, err := conntrack.ReadFill(nil)
	if err != nil {
		return nil, err
	}
	return &view.Conntrack{Entries: f.Entries, Limit: f.Limit, Dropped: f.Dropped}, nil
}

func (l *live) Agent(ctx context.Context) (json.RawMessage, error) {
	if l.Live.Agent == nil {
		return nil, fmt.Errorf("ask the agent: %w", view.ErrAbsent)
	}
	return l.Live.Agent(ctx)
}

func (l *live) Check(ctx context.Context) (*finding.Report, error) {
	if l.Live.Check == nil {
		return nil, fmt.Errorf("check the node: %w", view.ErrAbsent)
	}
	return l.Live.Check(ctx)
}

// maxCNIFile bounds a file of the runtime's directory, and maxCNIFiles their number.
const (
	maxCNIFile  = 1 << 20
	maxCNIFiles = 100
)

// CNI reads the files that a runtime considers: *.conf, *.conflist and *.json.
func (l *live) CNI(context.Context) ([]view.CNIFile, error) {
	dir := l.Live.Config.CNIConfDir
	if dir == "" {
		return nil, fmt.Errorf("read CNI files: %w: --cni-conf-dir is not set", view.ErrAbsent)
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, fmt.Errorf("read CNI files: %w", err)
	}
	var out []view.CNIFile
	for _, e := range entries {
		if !cni.Considers(e.Name()) || len(out) == maxCNIFiles {
			continue
		}
		text, err := readBounded(filepath.Join(dir, e.Name()), maxCNIFile)
		if err != nil {
			return nil, fmt.Errorf("read CNI files: %w", err)
		}
		out = append(out, view.CNIFile{Name: e.Name(), Text: text})
	}
	return out, nil
}

// readBounded reads a regular file up to a number of bytes.
func readBounded(name string, most int64) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return "", fmt.Errorf("%s is not a regular file of at most %d bytes", name, most)
	}
	b, err := os.ReadFile(name)
	return string(b), err
}

// sysctlNames are the settings of conf/DEVICE that concern forwarding.
func sysctlNames() []string {
	return []string{"forwarding", "rp_filter", "route_localnet", "disable_ipv6", "accept_ra", "proxy_arp", "proxy_ndp", "send_redirects"}
}

// Sysctls reads the settings of the network namespace. A setting that the kernel does
// not have is left out.
func (l *live) Sysctls(context.Context) (map[string]string, error) {
	paths := []string{
		"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
		"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_tcp_be_liberal",
		"net/ipv4/ip_local_port_range", "net/ipv4/neigh/default/gc_thresh3", "net/ipv6/neigh/default/gc_thresh3",
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		devices, err := os.ReadDir("/proc/sys/net/" + family + "/conf")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read settings: %w", err)
		}
		for _, d := range devices[:min(len(devices), 1000)] {
			for _, name := range sysctlNames() {
				paths = append(paths, "net/"+family+"/conf/"+d.Name()+"/"+name)
			}
		}
	}
	out := map[string]string{}
	for _, p := range paths {
		b, err := os.ReadFile("/proc/sys/" + p)
		if err == nil {
			out[p] = strings.TrimSpace(string(b))
		}
	}
	return out, nil
}

func (l *live) Pods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	client, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	if l.Manifests != "" {
		o, err := readManifests(l.Manifests)
		if err != nil && o == nil {
			return nil, err
		}
		pods = view.InNamespace(o.Pods, namespace)
	}
	if client == nil {
		return pods, nil
	}
	list, err := listPods(ctx, client, namespace)
	return append(pods, list...), err
}

func (l *live) Objects(ctx context.Context) (*view.Objects, error) {
	client, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	return readObjects(ctx, client, l.Manifests)
}

// open returns nil without an API server.
func (l *live) open(ctx context.Context) (kubernetes.Interface, error) {
	if l.client != nil || l.Client == nil {
		return l.client, nil
	}
	var err error
	l.client, err = l.Client(ctx)
	if err != nil {
		return nil, fmt.Errorf("read objects: %w: %w", view.ErrAbsent, err)
	}
	return l.client, nil
}
