// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestSourcesAgain gives the store a slice again that it had before, while another
// goroutine reads it. Only the race detector sees that the store wrote to it.
func TestSourcesAgain(t *testing.T) {
	key := objects.Key{Kind: objects.KindSlice, Name: "default/web"}
	says := func(eps string) *objects.Object {
		s := proxiertest.SlicesOf(t, eps)[0]
		s.Key, s.Service = proxiertest.NameOf("web"), proxiertest.NameOf("web")
		return &objects.Object{Key: key, Slice: s}
	}
	store := New()
	file := says("a1/z1/na b2/z2/nb")
	store.Update(func(tx *Tx) { tx.PutFile(file) })
	readers := make(chan struct{})
	stop := make(chan struct{})
	list := store.Slices(proxiertest.NameOf("web"))
	go func() {
		defer close(readers)
		for {
			select {
			case <-stop:
				return
			default:
				if got := list[0].Endpoints[0]; got.Node.String()+got.ForZones.List()[0]+got.ForNodes.List()[0] != "node-az1node-a" {
					t.Error(got)
					return
				}
			}
		}
	}()
	for range 50 {
		store.Update(func(tx *Tx) { tx.PutAPI("api/endpointslices", says("a1")) })
		store.Update(func(tx *Tx) { tx.DropAPI(key) })
		if got := len(store.Slices(proxiertest.NameOf("web"))[0].Endpoints); got != 2 {
			t.Fatalf("%d endpoints, want those of the file", got)
		}
	}
	close(stop)
	<-readers
}

// TestSources has an API server and files say something of one object, in every
// order: what counts does not depend on it.
func TestSources(t *testing.T) {
	key := objects.Key{Kind: objects.KindService, Name: "default/web"}
	says := func(ip string) objects.Object {
		return objects.Object{Key: key, Service: &objects.Service{Key: proxiertest.NameOf("web"), ClusterIPs: []netip.Addr{netip.MustParseAddr(ip)}},
			Problems: []objects.Problem{key.Problem("is wrong in some way at %s", ip)}}
	}
	api := func(tx *Tx) { it := says("10.96.0.1"); tx.PutAPI("api/services", &it) }
	apiHeadless := func(tx *Tx) { tx.PutAPI("api/services", &objects.Object{Key: key}) }
	apiGone := func(tx *Tx) { tx.DropAPI(key) }
	file := func(tx *Tx) { it := says("10.96.0.2"); tx.PutFile(&it) }
	fileGone := func(tx *Tx) { tx.DropFile(key) }
	const both = "Service default/web: is in a manifest, too, which is ignored in favour of the API server"
	wrong := func(ip string) string { return "Service default/web: is wrong in some way at " + ip }
	for _, tt := range []struct {
		name   string
		events []func(*Tx)
		want   string
		told   []string
	}{
		{"API server", []func(*Tx){api}, "10.96.0.1", []string{wrong("10.96.0.1")}},
		{"file", []func(*Tx){file}, "10.96.0.2", []string{wrong("10.96.0.2")}},
		{"API server, file", []func(*Tx){api, file}, "10.96.0.1", []string{both, wrong("10.96.0.1")}},
		{"file, API server", []func(*Tx){file, api}, "10.96.0.1", []string{both, wrong("10.96.0.1")}},
		{"both, file again", []func(*Tx){file, api, file}, "10.96.0.1", []string{both, wrong("10.96.0.1")}},
		{"API server has no use for it", []func(*Tx){file, apiHeadless}, "", []string{both}},
		{"the same, the other way round", []func(*Tx){apiHeadless, file}, "", []string{both}},
		{"gone from the API server", []func(*Tx){file, api, apiGone}, "10.96.0.2", []string{wrong("10.96.0.2")}},
		{"gone from the file", []func(*Tx){file, api, fileGone}, "10.96.0.1", []string{wrong("10.96.0.1")}},
		{"gone from both", []func(*Tx){file, api, fileGone, apiGone}, "", nil},
		{"gone from both, the other way round", []func(*Tx){file, api, apiGone, fileGone}, "", nil},
	} {
		store := New()
		for _, f := range tt.events {
			store.Update(f)
		}
		got := ""
		if svc := store.Service(proxiertest.NameOf("web")); svc != nil {
			got = svc.ClusterIPs[0].String()
		}
		if got != tt.want {
			t.Errorf("%s: %q is served, want %q", tt.name, got, tt.want)
		}
		if diff := cmp.Diff(tt.told, proxiertest.ProblemTexts(store.Book().Problems())); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tt.name, diff)
		}
	}
}
