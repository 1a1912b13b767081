// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"

	"fairlead/proxier/objects"
)

// How many Events one agent writes: every node of a cluster sees the same bad
// object, so what is good for one node can be too much for the API server. What
// is above it is in the log and in the metric only.
const (
	eventBurst     = 20
	eventPerSecond = 0.2
)

// Reasons of Events. The first is kube-proxy's.
const (
	reasonHealthCheck = "FailedToStartServiceHealthcheck"
	reasonProblem     = "ProxyProblem"
	reasonRepaired    = "TableRepaired"
)

// maxNote is how long the API server lets a note be.
const maxNote = 1024

// Events tells the cluster of problems with objects. It needs the verbs create
// and patch on events of events.k8s.io. A nil Events writes nothing. Safe for
// concurrent use.
type Events struct {
	node     string
	recorder events.EventRecorder
	limit    flowcontrol.PassiveRateLimiter
}

// NewEvents returns Events that are written, from now on, until ctx ends.
func NewEvents(ctx context.Context, client kubernetes.Interface, node string) (*Events, error) {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return &Events{
		node:     node,
		recorder: broadcaster.NewRecorder(scheme.Scheme, "fairlead"),
		limit:    flowcontrol.NewTokenBucketPassiveRateLimiter(eventPerSecond, eventBurst),
	}, nil
}

// Problems writes an Event for each object and field of a list of problems. An
// Event that has its key but another note would be counted as a repetition, so
// what is wrong with one field is in one note.
func (e *Events) Problems(list []objects.Problem) {
	if e == nil {
		return
	}
	type where struct {
		kind, name, field string
		uid               types.UID
	}
	notes := map[where][]string{}
	for _, p := range list {
		at := where{p.Kind, p.Name, p.Field, p.UID}
		notes[at] = append(notes[at], p.Text)
	}
	order := slices.SortedFunc(maps.Keys(notes), func(a, b where) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name), strings.Compare(a.field, b.field))
	})
	for _, at := range order {
		ref, ok := reference(at.kind, at.name, at.uid)
		if !ok {
			continue // a file, or a name that no object in the cluster has
		}
		ref.FieldPath = at.field
		slices.Sort(notes[at])
		note := strings.Join(notes[at], "; ")
		if at.field != "" {
			note = at.field + ": " + note
		}
		if at.field == objects.FieldHealthPort {
			e.write(ref, reasonHealthCheck, "Listen", note)
		} else {
			e.write(ref, reasonProblem, "Sync", note)
		}
	}
}

// Repaired writes an Event of the node, whose table the program by had changed. found
// lists the differences that were repaired.
func (e *Events) Repaired(found, by string) {
	if e == nil {
		return
	}
	ref := &corev1.ObjectReference{APIVersion: "v1", Kind: objects.KindNode, Name: e.node, UID: types.UID(e.node)}
	e.write(ref, reasonRepaired, "Repair", fmt.Sprintf("repaired the nftables table of fairlead after %s changed it: %s", by, found))
}

func (e *Events) write(ref *corev1.ObjectReference, reason, action, note string) {
	if !e.limit.TryAccept() {
		return
	}
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote-3], "") + "..."
	}
	e.recorder.Eventf(ref, nil, corev1.EventTypeWarning, reason, action, "%s", note)
}

// reference finds the object that a problem is about.
func reference(kind, name string, uid types.UID) (*corev1.ObjectReference, bool) {
	ref := &corev1.ObjectReference{Kind: kind, APIVersion: "v1", Name: name, UID: uid}
	if objects.IsNamespaced(kind) {
		ref.Namespace, ref.Name, _ = strings.Cut(name, "/")
		ref.Name, _, _ = strings.Cut(ref.Name, ":") // of a port
		if len(validation.IsDNS1123Label(ref.Namespace)) > 0 {
			return nil, false
		}
	}
	if len(validation.IsDNS1123Subdomain(ref.Name)) > 0 {
		return nil, false
	}
	switch kind {
	case objects.KindService, objects.KindPod:
	case objects.KindSlice:
		ref.APIVersion = "discovery.k8s.io/v1"
	case objects.KindNode:
		ref.UID = types.UID(name) // where kubectl describe looks
	case objects.KindServiceCIDR:
		ref.APIVersion = "networking.k8s.io/v1"
	default:
		return nil, false
	}
	return ref, true
}
