// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fairlead/overlay"
	"fairlead/overlay/kernel"

	"github.com/google/go-cmp/cmp"
)

// passes runs the loop's body in the test's own goroutine, one at a time.
func passes(t testing.TB, h *host) *Keeper {
	t.Helper()
	k, err := New(h.ns, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if k.sock, err = kernel.Dial(h.ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.sock.Close() })
	return k
}

func (k *Keeper) must(t testing.TB, in input, look bool) overlay.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := k.pass(ctx, in, look)
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r
}

// checkKernel compares the kernel with a plan made from scratch.
func (h *host) checkKernel(t testing.TB, in input) {
	t.Helper()
	want, _ := overlay.NewPlan(overlay.Config{}, h.underlay(t), in.self, in.peers)
	if diff := cmp.Diff(text(want), h.kernel(t, overlay.Config{})); diff != "" {
		t.Errorf("kernel (-plan +kernel):\n%s", diff)
	}
}

var errKilled = errors.New("killed by the test")

// TestKilled stops an agent at every point of its work, and has another one
// finish it.
func TestKilled(t *testing.T) {
	old := input{self: node(1), peers: nodes(2, 5), version: 1}
	now := input{self: node(1), peers: nodes(4, 7), version: 1}
	now.peers[0].Underlay = node(90).Underlay
	now.self.PodCIDRs = node(91).PodCIDRs
	finished := false
	for point := 0; !finished; point++ {
		h := newHost(t)
		if point%2 == 0 { // else it starts with nothing
			passes(t, h).must(t, old, true)
		}
		k := passes(t, h)
		k.batch = 1
		left := point
		k.sock.Before = func() error {
			if left--; left < 0 {
				return errKilled
			}
			return nil
		}
		r := k.pass(t.Context(), now, true)
		finished = r.Err == nil
		if !finished && !errors.Is(r.Err, errKilled) {
			t.Fatal(r.Err)
		}
		passes(t, h).must(t, now, true)
		h.checkKernel(t, now)
		if t.Failed() {
			t.Fatalf("killed before write %d", point)
		}
	}
}

// FuzzEvents plays any sequence of events, with writes that fail, restarts and
// somebody who interferes. In the end the kernel holds what a plan from scratch
// says, and nobody has anything left to do.
func FuzzEvents(f *testing.F) {
	for seed := range uint64(12) {
		script := make([]byte, 40)
		_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(script)
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		h := newHost(t)
		w := &world{host: h, k: passes(t, h), self: node(1), nodes: map[int]overlay.Node{}}
		for event := range slices.Chunk(script[:min(len(script), 64)], 2) {
			w.play(t, event[0], int(event[len(event)-1]))
			_ = w.pass(t) // it fails while w.failing counts
		}
		w.failing = 0
		w.k.mustLoad = true
		for range 2 {
			if err := w.pass(t); err != nil {
				t.Fatal(err)
			}
		}
		h.checkKernel(t, w.input())
		if r := w.k.pass(t.Context(), w.input(), true); r.Written != 0 {
			t.Errorf("wrote %d once all was done", r.Written)
		}
	})
}

// world is a host, its Keeper and the cluster.
type world struct {
	*host
	k       *Keeper
	self    overlay.Node
	nodes   map[int]overlay.Node
	version uint64
	failing int // every so many writes fail
}

func (w *world) input() input {
	in := input{self: w.self, version: w.version}
	for _, i := range slices.Sorted(maps.Keys(w.nodes)) {
		in.peers = append(in.peers, w.nodes[i])
	}
	return in
}

// told returns the input of the next pass, by all nodes or by those that changed.
func (w *world) told() input {
	all := w.input()
	if w.version%3 == 0 || !w.self.Equal(&w.k.nodes.self) || w.k.nodes.peers == nil {
		w.k.nodes.set(all.self, all.peers)
	} else {
		var gone []string
		for name := range w.k.nodes.peers {
			if !slices.ContainsFunc(all.peers, func(n overlay.Node) bool { return n.Name == name }) {
				gone = append(gone, name)
			}
		}
		w.k.nodes.change(all.peers, gone) // It leaves out those that are as before.
	}
	return w.k.nodes.take(w.k.plan != nil && !w.k.mustLoad)
}

func (w *world) pass(t *testing.T) error {
	t.Helper()
	writes := 0
	w.k.sock.Before = func() error {
		if writes++; w.failing > 0 && writes%w.failing == 0 {
			return errKilled
		}
		return nil
	}
	w.version++
	r := w.k.pass(t.Context(), w.told(), w.k.mustLoad)
	switch {
	case r.Err == nil:
		want, _ := overlay.NewPlan(overlay.Config{}, w.k.seen.Net, w.self, w.input().peers)
		if diff := cmp.Diff(want.Entries.String(), w.k.have.String()); diff != "" {
			t.Errorf("after a pass without error (-plan +have):\n%s", diff)
		}
	case w.version%2 == 0:
		w.k.mustLoad = true // as the loop does when it tries again
	}
	return r.Err
}

func (w *world) play(t *testing.T, event byte, arg int) {
	t.Helper()
	i := 2 + arg%6
	n, known := w.nodes[i]
	switch event % 10 {
	case 2:
		delete(w.nodes, i)
		return
	case 3:
		n.Underlay = node(100 + arg).Underlay
	case 4:
		n.PodCIDRs = node(2 + (arg+1)%6).PodCIDRs
	case 5:
		n.Underlay = n.Underlay[:min(1, len(n.Underlay))]
	case 6:
		w.failing = arg % 8
		return
	case 7:
		w.k = passes(t, w.host)
		w.k.mustLoad = true
		return
	case 8:
		for _, k := range slices.Collect(maps.Keys(w.k.have)) { // any one
			s := overlay.Step{Op: overlay.Remove, Entry: w.k.have[k]}
			w.interfere(t, s)
			break
		}
		w.k.mustLoad = true
		return
	case 9:
		n.VTEPs[arg%2] = overlay.MAC{2, byte(arg)}
	default:
		n, known = node(i), true
	}
	if known {
		w.nodes[i] = n
	}
}

// interfere works behind the Keeper's back.
func (w *world) interfere(t *testing.T, s overlay.Step) {
	t.Helper()
	other, err := kernel.Dial(w.ns)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	err = other.Write([]overlay.Step{s}, func(s *overlay.Step) (int32, uint8) {
		return w.k.index[s.Device], overlay.DefaultProtocol
	}, func(_ int, err error) {
		if !kernel.Gone(err) {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
