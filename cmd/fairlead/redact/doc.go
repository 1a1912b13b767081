// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package redact takes out of a node what people do not want to hand to others. Secrets
// are always taken out. Addresses and names give way to pseudonyms on request: the same
// one stands for the same original everywhere, and addresses of one range stay in one
// range, so that the commands say of the result what they say of the node. It does no I/O.
package redact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
	"fairlead/nat/listing"
)

// Options say what gives way to pseudonyms.
type Options struct {
	// Addresses are those of IPv4, IPv6 and of devices (MAC).
	Addresses bool
	// Names are those of objects, hosts, ports and zones, and labels.
	Names bool
	// Key makes the pseudonyms. Use a random one for each bundle, and keep it secret.
	Key [KeySize]byte
}

// KeySize is the length of a key in bytes.
const KeySize = 32

// Pseudonym is what stands for an original.
type Pseudonym struct {
	Original  string `json:"original"`
	Pseudonym string `json:"pseudonym"`
}

// part is what a method of a Node returned.
type part[T any] struct {
	value T
	err   error
}

func read[T any](ctx context.Context, f func(context.Context) (T, error)) part[T] {
	v, err := f(ctx)
	return part[T]{v, err}
}

func (p part[T]) get() (T, error) { return p.value, p.err }

// Node is a view.Node in memory.
type Node struct{ *memory }

// memory has the parts of a node.
type memory struct {
	about     part[*view.About]
	config    part[*view.Config]
	table     part[*listing.Table]
	objects   part[*view.Objects]
	pods      part[[]*corev1.Pod]
	network   part[*view.Network]
	sysctls   part[map[string]string]
	conntrack part[*view.Conntrack]
	cni       part[[]view.CNIFile]
	agent     part[json.RawMessage]
	logs      part[[]view.Log]
	check     part[*finding.Report]
	words     *words
}

// Of reads a node as a whole and takes out what the options say.
func Of(ctx context.Context, n view.Node, o Options) (*Node, error) {
	out := &memory{
		about: read(ctx, n.About), config: read(ctx, n.Config), table: read(ctx, n.Table), objects: read(ctx, n.Objects),
		pods:    read(ctx, func(ctx context.Context) ([]*corev1.Pod, error) { return n.Pods(ctx, "") }),
		network: read(ctx, n.Network), sysctls: read(ctx, n.Sysctls), conntrack: read(ctx, n.Conntrack), cni: read(ctx, n.CNI), agent: read(ctx, n.Agent),
		logs: read(ctx, n.Logs), check: read(ctx, n.Check),
	}
	if err := errors.Join(ctx.Err(), out.about.err); err != nil {
		return nil, err
	}
	out.slim()
	out.words = newWords(o)
	out.learn()
	out.words.settle()
	out.replace()
	return &Node{out}, nil
}

// Pseudonyms returns what stands for what, sorted by the pseudonym. It is a secret.
func (n *Node) Pseudonyms() []Pseudonym { return n.words.pseudonyms() }

// slim takes out what is secret, or of no use for commands.
func (n *memory) slim() {
	if n.objects.err == nil {
		n.objects.value = slimObjects(n.objects.value)
	}
	if n.pods.err == nil {
		n.pods.value = slimAll(n.pods.value, slimPod)
	}
	for i := range n.cni.value {
		n.cni.value[i].Text = withoutKeys(n.cni.value[i].Text)
	}
}

// state decodes what the agent answered. What this version does not know is left out.
func (n *memory) state() (*state.State, bool) {
	var s state.State
	if n.agent.err != nil {
		return nil, false
	}
	if err := json.Unmarshal(n.agent.value, &s); err != nil {
		n.agent = part[json.RawMessage]{err: fmt.Errorf("read the state of the agent: %w", err)}
		return nil, false
	}
	return &s, true
}

func (n *memory) About(context.Context) (*view.About, error)         { return n.about.get() }
func (n *memory) Config(context.Context) (*view.Config, error)       { return n.config.get() }
func (n *memory) Table(context.Context) (*listing.Table, error)      { return n.table.get() }
func (n *memory) Objects(context.Context) (*view.Objects, error)     { return n.objects.get() }
func (n *memory) Network(context.Context) (*view.Network, error)     { return n.network.get() }
func (n *memory) Sysctls(context.Context) (map[string]string, error) { return n.sysctls.get() }
func (n *memory) Conntrack(context.Context) (*view.Conntrack, error) { return n.conntrack.get() }
func (n *memory) CNI(context.Context) ([]view.CNIFile, error)        { return n.cni.get() }
func (n *memory) Agent(context.Context) (json.RawMessage, error)     { return n.agent.get() }
func (n *memory) Logs(context.Context) ([]view.Log, error)           { return n.logs.get() }
func (n *memory) Check(context.Context) (*finding.Report, error)     { return n.check.get() }

// Pods returns the Pods of a namespace, of all for "".
func (n *memory) Pods(_ context.Context, namespace string) ([]*corev1.Pod, error) {
	return view.InNamespace(n.pods.value, namespace), n.pods.err
}
