// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	"fairlead/cmd/fairlead/doctor/finding"
)

// TestNoDevices: where no device between the nodes is known, nothing is said to be fine.
func TestNoDevices(t *testing.T) {
	d := newDoctor()
	d.checkTraffic(t.Context())
	d.want(t, finding.Unknown, "no device between the nodes is known", "")
}
