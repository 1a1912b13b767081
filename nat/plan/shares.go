// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"

	"fairlead/nat/ruleset"
)

// mostOfNamespace is how many Services of one namespace may have affinity maps of their
// own, so that one tenant cannot take all.
const mostOfNamespace = ruleset.MaxShares / 4

// shares gives sticky Services affinity maps of their own. Services beyond the limits
// get number 0, which stands for the maps that all Services use.
type shares struct {
	of   map[string]*share             // by Service
	held map[string]uint8              // which number a Service had in the kernel when that was read
	user [ruleset.MaxShares + 1]*share // by number, nil for those that are free
}

type share struct {
	service   string
	number    uint8
	frontends int
}

// serviceOf returns the Service of a frontend: the owner without the port.
func serviceOf(owner string) string {
	service, _, _ := strings.Cut(owner, ":")
	return service
}

// take adds a frontend to its Service. A new Service gets the preferred number if that
// is free, else the lowest one that is neither in use nor reserved: the kernel has those.
// After a start a Service keeps what it had in the kernel, in whatever order the Services come.
func (s *shares) take(service string, prefer uint8, reserved func(uint8) bool) uint8 {
	sh := s.of[service]
	if sh == nil {
		sh = &share{service: service}
		s.of[service] = sh
		had := prefer > 0 && s.held[service] == prefer && s.user[prefer] == nil
		if had || s.ofNamespace(service, reserved) < mostOfNamespace {
			sh.number = s.free(prefer, reserved)
			s.user[sh.number] = sh
		}
	}
	sh.frontends++
	return sh.number
}

func (s *shares) free(prefer uint8, reserved func(uint8) bool) uint8 {
	if prefer > 0 && s.user[prefer] == nil {
		return prefer
	}
	for n := uint8(1); n <= ruleset.MaxShares; n++ {
		if s.user[n] == nil && !reserved(n) {
			return n
		}
	}
	return 0
}

// ofNamespace counts the Services with maps of their own in the namespace of service,
// including those that had them in the kernel and have not come yet. It looks at the numbers,
// of which there are few, and not at the Services.
func (s *shares) ofNamespace(service string, reserved func(uint8) bool) int {
	namespace := namespaceOf(service)
	n := 0
	for _, user := range s.user[1:] {
		if user != nil && namespaceOf(user.service) == namespace {
			n++
		}
	}
	for name, number := range s.held {
		if s.of[name] == nil && namespaceOf(name) == namespace && s.user[number] == nil && reserved(number) {
			n++
		}
	}
	return n
}

// release takes a frontend away from its Service.
func (s *shares) release(service string) {
	sh := s.of[service]
	if sh == nil {
		return
	}
	if sh.frontends--; sh.frontends == 0 {
		s.user[sh.number] = nil
		delete(s.of, service)
	}
}

func newShares() shares { return shares{of: map[string]*share{}, held: map[string]uint8{}} }
