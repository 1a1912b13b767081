// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// Use is one thing that a user may do to a kind of object.
type Use struct{ Verb, Group, Resource string }

// String is Use in the form "watch discovery.k8s.io/endpointslices".
func (u Use) String() string {
	if u.Group == "" {
		return u.Verb + " " + u.Resource
	}
	return u.Verb + " " + u.Group + "/" + u.Resource
}

// Audit is what a user asked the API server for since Start.
type Audit struct {
	Allowed   map[Use]int // how often
	Forbidden map[Use]int
	Agents    map[string]int // requests by user agent
}

// Audit reads the audit log for one user, such as
// system:serviceaccount:kube-system:fairlead.
func (p *Plane) Audit(user string) (*Audit, error) {
	f, err := os.Open(p.path("audit.log"))
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	defer func() { _ = f.Close() }()
	a := &Audit{Allowed: map[Use]int{}, Forbidden: map[Use]int{}, Agents: map[string]int{}}
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return a, nil // the last line may be half written
		}
		if err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("parse audit log: %w", err)
		}
		if e.User.Username == user {
			a.add(&e)
		}
	}
}

// add counts an event. Requests that are not about objects, such as for
// /version, have no ObjectRef and need no rule of ours.
func (a *Audit) add(e *auditv1.Event) {
	a.Agents[e.UserAgent]++
	if e.ObjectRef == nil {
		return
	}
	u := Use{Verb: e.Verb, Group: e.ObjectRef.APIGroup, Resource: e.ObjectRef.Resource}
	if e.ObjectRef.Subresource != "" {
		u.Resource += "/" + e.ObjectRef.Subresource
	}
	if e.ResponseStatus != nil && e.ResponseStatus.Code == http.StatusForbidden {
		a.Forbidden[u]++
		return
	}
	a.Allowed[u]++
}
