// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
)

// The agent's service account, as deploy/ names it.
const (
	agentNamespace = "kube-system"
	agentAccount   = "fairlead"
	agentUser      = "system:serviceaccount:" + agentNamespace + ":" + agentAccount
)

// agent is the real one, on a node of the lab. It reaches the API server through
// a gate of its own.
type agent struct {
	node       *lab.Node
	gate       *controlplane.Gate
	log        string
	token      string // path
	kubeconfig string
	binary     string
	cidrs      string
	more       []string // flags
	work       string   // directory that the agent starts in; "" is that of the test

	process *lab.Process
}

// startAgents starts an agent on each node, with a token of its service account.
func (c *cluster) startAgents(t *testing.T) {
	t.Helper()
	for _, n := range c.Nodes {
		c.newAgent(t, n).start(t)
	}
}

// newAgent returns an agent for a node that does not run yet; more are flags.
func (c *cluster) newAgent(t *testing.T, n *lab.Node, more ...string) *agent {
	t.Helper()
	gate, err := c.plane.Gate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	a := &agent{
		node: n, gate: gate, log: filepath.Join(c.dir, n.Name+".log"), token: filepath.Join(c.dir, n.Name+".token"),
		binary: binary(t, "fairlead"), more: more,
	}
	for _, p := range c.Config.ClusterCIDRs() {
		a.cidrs += "," + p.String()
	}
	a.writeToken(t, c.token(t))
	a.kubeconfig, err = c.plane.Kubeconfig(n.Name+".kubeconfig", gate.URL(), controlplane.TokenFile(a.token))
	if err != nil {
		t.Fatal(err)
	}
	c.agents = append(c.agents, a)
	return a
}

func (c *cluster) token(t *testing.T) string {
	t.Helper()
	token, err := c.plane.Token(t.Context(), agentNamespace, agentAccount)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// writeToken replaces the token at once, as the kubelet does.
func (a *agent) writeToken(t *testing.T, token string) {
	t.Helper()
	if err := os.WriteFile(a.token+".new", []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(a.token+".new", a.token); err != nil {
		t.Fatal(err)
	}
}

func (a *agent) start(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the agent has a copy
	cmd := exec.Command(a.binary, append([]string{
		"run", "--kubeconfig", a.kubeconfig, "--node-name", a.node.Name,
		"--cluster-cidr", a.cidrs[1:], "--overlay", "vxlan", "-v=4",
	}, a.more...)...)
	// client-go notices a connection that is dead but open after 30 s + 15 s.
	cmd.Env = append(os.Environ(), "HTTP2_READ_IDLE_TIMEOUT_SECONDS=3", "HTTP2_PING_TIMEOUT_SECONDS=5")
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, a.work
	if a.process, err = a.node.Start(cmd); err != nil {
		t.Fatal(err)
	}
}

func (a *agent) stop(t *testing.T) {
	t.Helper()
	if err := a.process.Close(); err != nil {
		t.Fatal(err)
	}
}

// logged waits until the agent says something that it had not said at offset
// from of its log.
func (a *agent) logged(t *testing.T, from int64, text string) {
	t.Helper()
	eventually(t, a.node.Name+" logs "+strconv.Quote(text), func(context.Context) error {
		b, err := os.ReadFile(a.log)
		if err != nil {
			return err
		}
		if !strings.Contains(string(b[from:]), text) {
			return fmt.Errorf("it does not")
		}
		return nil
	})
}

// logSize is where the next line of the log will stand.
func (a *agent) logSize(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(a.log)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// metric returns the value of a series, 0 when there is none.
func (a *agent) metric(ctx context.Context, series string) (float64, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = a.node.NS.Do(func() error {
				conn, err = new(net.Dialer).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:10249/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		if value, ok := strings.CutPrefix(in.Text(), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, nil
}

// awaitSync waits for the agent's first sync. Who dials a VIP before that leaves
// a flow without translation, which conntrack keeps for two minutes (SYN_SENT);
// a connection that has its source port again is not translated either.
func (a *agent) awaitSync(t *testing.T) {
	t.Helper()
	eventually(t, "first sync of "+a.node.Name, func(ctx context.Context) error {
		at, err := a.metric(ctx, "kubeproxy_sync_proxy_rules_last_timestamp_seconds")
		if err == nil && at == 0 {
			err = errors.New("there was none")
		}
		return err
	})
}

// deletes is how many elements, chains and rules the agent has deleted.
func (a *agent) deletes(t *testing.T) float64 {
	t.Helper()
	return a.value(t, `fairlead_nat_operations_total{verb="delete"}`)
}

func (a *agent) value(t *testing.T, series string) (n float64) {
	t.Helper()
	eventually(t, "metrics of "+a.node.Name, func(ctx context.Context) (err error) {
		n, err = a.metric(ctx, series)
		return err
	})
	return n
}
