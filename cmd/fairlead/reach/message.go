// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"fairlead/cmd/fairlead/reach/plan"
	"fairlead/cmd/fairlead/reach/talk"
)

// A message is one line of a client's log.
type message struct {
	Checks int          `json:"checks,omitempty"` // how many results follow
	Result *plan.Result `json:"result,omitempty"`
	// Step is the measurement that begins; Checks says how many there are.
	Step    int           `json:"step,omitempty"`
	Figures *plan.Figures `json:"figures,omitempty"`
	Done    bool          `json:"done,omitempty"`
}

// maxLine bounds a message, in bytes. The longest is a lookup of a headless Service with
// all nodes.
const maxLine = 1 << 20

// Client runs a client in a pod: it reads the world from a file, and prints messages.
func Client(ctx context.Context, file string, who plan.Client, out io.Writer) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var w plan.World
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if w.Duration > 0 {
		return measure(ctx, &w, json.NewEncoder(out))
	}
	if host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"); host != "" && port != "" {
		w.Egress = append(w.Egress, net.JoinHostPort(host, port))
	}
	c := &talk.Client{Dial: talk.Direct, NoNames: noNames(w.Namespace), Settle: talk.Settle}
	checks := w.Checks(who)
	enc := json.NewEncoder(out)
	err = enc.Encode(message{Checks: len(checks)})
	c.Run(ctx, checks, func(r plan.Result) { err = errors.Join(err, enc.Encode(message{Result: &r})) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, enc.Encode(message{Done: true}))
}

// measure is a client of a measurement.
func measure(ctx context.Context, w *plan.World, enc *json.Encoder) error {
	var errs error
	say := func(m message) { errs = errors.Join(errs, enc.Encode(m)) }
	await(ctx, w)
	err := talk.Dialer(talk.Direct).Measure(ctx, w.Paths(), w.Duration,
		func(n, of int) { say(message{Step: n, Checks: of}) }, func(f plan.Figures) { say(message{Figures: &f}) })
	if err != nil {
		say(message{Result: &plan.Result{Check: plan.Check{Kind: plan.Setup, What: "measure"}, Problem: err.Error()}})
	}
	say(message{Done: true})
	return errs
}

// await tries all paths until they answer, for the time that objects need to reach all
// nodes.
func await(ctx context.Context, w *plan.World) {
	var checks []plan.Check
	for _, p := range w.Paths() {
		checks = append(checks, plan.Check{Proto: plan.TCP, Target: p.Target, Want: plan.Want{Servers: []string{plan.PodServer(w.Nodes[0].Name), plan.PodServer(w.Nodes[min(1, len(w.Nodes)-1)].Name)}}})
	}
	(&talk.Client{Dial: talk.Direct, Settle: talk.Settle}).Run(ctx, checks, func(plan.Result) {})
}

// noNames says why this pod cannot look up names of Services; "" is no reason.
func noNames(namespace string) string {
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "search" && slices.ContainsFunc(words[1:], func(s string) bool { return strings.HasPrefix(s, namespace+".svc.") }) {
			return ""
		}
	}
	return "the kubelet gives pods no DNS of the cluster: its clusterDNS is not set"
}

// read passes the messages of a client on until the last one.
func read(r io.Reader, each func(message)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("it says %q", lines.Text())
		}
		if m.Done {
			return nil
		}
		each(m)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
