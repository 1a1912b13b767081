// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// FuzzKernel commits objects with any content into the kernel, beside the Service of
// another tenant. The kernel refuses nothing, lists what the plan says and nothing else,
// and the other tenant is served throughout.
func FuzzKernel(f *testing.F) {
	for _, seed := range kernelSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		nstest.Need(t)
		w, err := newWorld()
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		w.store.Update(putHonest)
		w.settled(t)
		honest := w.servedHonest(t)
		if len(honest) != 5 {
			t.Fatalf("the other tenant has the elements %v, want 5", honest)
		}
		own := false // the objects are the other tenant's
		for range maxFuzzObjects {
			var obj message
			if obj, data = nextObject(data); obj == nil {
				break
			}
			it, err := convert.Convert(obj)
			if err != nil {
				t.Fatal(err)
			}
			own = own || it.Key.Name == honestName || it.Slice != nil && it.Slice.Service.String() == honestName || it.Key.Kind == objects.KindNode
			w.store.Update(func(tx *store.Tx) { tx.Put(&it) })
			w.settled(t)
			if got := w.servedHonest(t); !own && !slices.Equal(got, honest) {
				t.Errorf("the other tenant has the elements %v, want %v", got, honest)
			}
		}
		want, got := parseListing(w.p.desired.state.Text()), w.listing(t)
		if diff := cmp.Diff(want.normalised(), got.normalised()); diff != "" {
			t.Errorf("the kernel has other elements (-plan +kernel):\n%s", diff)
		}
		w.p.apply.Distrust()
		if ops, err := w.sync(); err != nil || ops != "" {
			t.Errorf("the table read back differs: %v\n%s", err, ops)
		}
	})
}

const maxFuzzObjects = 6

// settled makes passes until nothing waits, and none that the kernel refuses. A pass is
// bounded in time, so a busy machine needs several.
func (w *world) settled(t *testing.T) {
	t.Helper()
	for range 200 {
		if _, err := w.sync(); err != nil {
			t.Fatal(err)
		}
		if w.p.desired.state.Pending() == 0 && !w.p.desired.more() {
			break
		}
	}
	if n := w.p.desired.state.Pending(); n > 0 || len(w.p.refused) > 0 {
		t.Fatalf("%d frontends wait and %d are refused: %v", n, len(w.p.refused), w.store.Book().Problems())
	}
}

// servedHonest returns the elements of the other tenant's Service.
func (w *world) servedHonest(t *testing.T) []string {
	t.Helper()
	found, err := w.table.Table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for e := range found.Elements.All() {
		if e.Key == honestAddr() || e.Key == (inet.Addr{IP: honestAddr().IP}) {
			out = append(out, e.Set.String()+" "+e.String())
		}
	}
	slices.Sort(out)
	return out
}

// nextObject reads an object from the input: one byte for its kind, two for its length,
// then its binary form. It returns nil at the end, or for a form that is none.
func nextObject(data []byte) (message, []byte) {
	if len(data) < 3 {
		return nil, nil
	}
	kinds := []func() message{
		func() message { return &corev1.Service{} }, func() message { return &discoveryv1.EndpointSlice{} },
		func() message { return &corev1.Node{} }, func() message { return &networkingv1.ServiceCIDR{} }, func() message { return &corev1.Pod{} },
	}
	obj := kinds[int(data[0])%len(kinds)]()
	n := min(int(binary.BigEndian.Uint16(data[1:])), len(data)-3)
	if obj.Unmarshal(data[3:3+n]) != nil {
		return nil, nil
	}
	return obj, data[3+n:]
}

// kernelSeeds returns inputs made of the objects that the other fuzz tests begin with.
func kernelSeeds(f *testing.F) [][]byte {
	f.Helper()
	var out [][]byte
	for _, list := range [][]message{
		{fullService()}, {hostileService(), hostileSlices()[0]}, {hostileSlices()[0], fullService(), hostileSlices()[1]},
		{hostilePods()[0], hostilePods()[1]}, {hostileNodes()[0], hostileNodes()[1], hostileServiceCIDRs()[2]},
	} {
		var seed []byte
		for _, obj := range list {
			b, err := obj.Marshal()
			if err != nil {
				f.Fatal(err)
			}
			kind := slices.IndexFunc([]string{"*v1.Service", "*v1.EndpointSlice", "*v1.Node", "*v1.ServiceCIDR", "*v1.Pod"}, func(s string) bool { return s == kindOf(obj) })
			seed = binary.BigEndian.AppendUint16(append(seed, byte(kind)), uint16(len(b)))
			seed = append(seed, b...)
		}
		out = append(out, seed)
	}
	return out
}

func kindOf(obj message) string { return fmt.Sprintf("%T", obj) }
