// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import "sync"

// refusals are what the kernel, or a filter of system calls such as a seccomp profile, refuses and
// Watch does without. The zero value is ready to use.
type refusals struct {
	mu   sync.Mutex
	tell func(error)
	told map[string]bool
}

// add tells of an error unless it is known.
func (r *refusals) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tell == nil || r.told[err.Error()] {
		return
	}
	if r.told == nil {
		r.told = map[string]bool{}
	}
	r.told[err.Error()] = true
	r.tell(err)
}
