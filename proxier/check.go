// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"time"

	"k8s.io/klog/v2"
)

// checkPause is how long changes have the loop for themselves between two parts of a check.
const checkPause = 2 * time.Millisecond

// checkLater makes the loop compare the next part of what the first load left out with the kernel, also
// while changes come all the time.
func (p *Proxier) checkLater() {
	if p.checking == nil && p.apply.Unchecked() {
		p.checking = time.After(checkPause)
	}
}

// check compares a part with the kernel. It returns false if a sync is due, because something differs
// or cannot be read.
func (p *Proxier) check(ctx context.Context) bool {
	p.checking = nil
	differs, r, err := p.apply.Check(ctx)
	p.applied(ctx, &r)
	if err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Failed to check elements that were not read at the start, reading the table")
	}
	if differs {
		return false
	}
	p.checkLater()
	return true
}
