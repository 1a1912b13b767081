// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import "time"

// checkPause is how long changes have the loop for themselves between two parts of a check.
const checkPause = 2 * time.Millisecond

// checkLater makes the loop compare the next part of what the first load left out with the kernel, also
// while changes come all the time.
func (p *Proxier) checkLater() {
	switch {
	case !p.apply.Unchecked():
		p.checking = nil
		p.checked.Store(true)
	case p.checking == nil:
		p.checking = time.After(checkPause)
	}
}
