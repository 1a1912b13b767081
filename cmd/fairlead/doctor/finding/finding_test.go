// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package finding

import (
	"encoding/json"
	"testing"
)

// TestReport writes a report in each form.
func TestReport(t *testing.T) {
	r := Report{Node: "n"}
	for i, want := range []int{0, 0, 1, 2, 2} {
		switch i {
		case 0:
			r.Add("kernel", OK, nil, "has all")
		case 1:
			r.Add("api", Unknown, nil, "was not asked")
		case 2:
			r.Add("cni", Warning, []string{"mv a b", "restart"}, "%s is first", "a")
		case 3:
			r.Add("sysctl", Error, nil, "is 0")
		}
		if got := r.ExitCode(); got != want {
			t.Errorf("step %d: exit code %d, want %d", i, got, want)
		}
	}
	const want = `ok       kernel  has all
unknown  api     was not asked
warning  cni     a is first
                   -> mv a b
                   -> restart
error    sysctl  is 0
n: 1 errors, 1 warnings, 1 unknown, 1 ok
`
	if got := r.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(text, &again); err != nil || again.Text() != r.Text() {
		t.Errorf("read back %v, %+v", err, again)
	}
	if err := json.Unmarshal([]byte(`{"findings":[{"severity":"bad"}]}`), &again); err == nil {
		t.Error("a severity that does not exist is accepted")
	}
}
