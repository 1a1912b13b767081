// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"flag"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"fairlead/internal/counts"
	"fairlead/internal/nstest"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

var updateCounts = flag.Bool("update-counts", false, "rewrite testdata/counts.txt")

// TestCounts counts what it costs to decode a changed EndpointSlice as the API server sends it,
// and to put it into the store, and compares that with testdata/counts.txt.
func TestCounts(t *testing.T) {
	nstest.Long(t, "one goroutine counts what other tests run as well")
	got := counts.Costs{}
	for name, endpoints := range map[string]int{"slice of 10 endpoints changed": 10, "slice of 100 endpoints changed": 100} {
		got[name] = countSlices(t, endpoints)
	}
	const file = "testdata/counts.txt"
	if err := counts.Compare(file, got, *updateCounts); err != nil {
		t.Error(err)
	}
	if text := counts.Lower(file, got); text != "" {
		t.Log(text)
	}
}

func countSlices(t *testing.T, endpoints int) counts.Cost {
	t.Helper()
	full := proxiertest.BenchSlice(7, endpoints)
	full.ResourceVersion, full.UID = "100", "0b6a2c1e-0000-4000-8000-000000000000"
	full.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: "2026-01-02T03:04:05Z"}
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", FieldsV1: metav1.NewFieldsV1(`{"f:endpoints":{}}`)}}
	other := full.DeepCopy()
	other.Endpoints[endpoints-1].Addresses = []string{"10.200.0.1"}
	events := [][]byte{inProtobuf(t, full), inProtobuf(t, other)}
	st := store.New()
	m, d := &mirror{source: sourceSlices, store: st}, newSlimDecoder(nil)
	n := 0
	change := func() {
		obj, _, err := d.Decode(events[n%2], nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Update(obj); err != nil {
			t.Fatal(err)
		}
		n++
	}
	change()
	var least counts.Cost
	for i := range 10 {
		if len(st.TakeDirty().Services) != 1 {
			t.Fatal("the slice did not change")
		}
		if cost := counts.Do(change); i == 0 {
			least = cost
		} else {
			least = least.Least(cost)
		}
	}
	return least
}

// inProtobuf returns an object as the API server sends it.
func inProtobuf(t *testing.T, obj runtime.Object) []byte {
	t.Helper()
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		t.Fatal("no protobuf")
	}
	var out bytes.Buffer
	if err := scheme.Codecs.EncoderForVersion(info.Serializer, discoveryv1.SchemeGroupVersion).Encode(obj, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
