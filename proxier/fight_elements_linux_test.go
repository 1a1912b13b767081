// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/proxiertest"
)

// quarrelling is set in the environment of a process that changes elements.
const quarrelling = "FAIRLEAD_TEST_QUARREL"

// quarrel starts a process that commits 1,000 times a second, until end is called:
//
//   - "adds" adds a frontend of its own, and deletes it.
//   - "delete" deletes a frontend of ours, if it is there, and "deletes" 1,000 in turn.
//   - "many" adds another frontend each time.
//   - "flushes" deletes the table, if it is there.
func (w *world) quarrel(t testing.TB, what string) (end func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := nstest.Command(t, w.ns, self, "-test.run", "^TestQuarrelling$")
	cmd.Env = append(os.Environ(), quarrelling+"="+what)
	return w.start(t, cmd)
}

// TestQuarrelling is the process of quarrel.
func TestQuarrelling(t *testing.T) {
	what := os.Getenv(quarrelling)
	if what == "" {
		t.Skip("runs as another process of other tests")
	}
	table, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	for i := 0; ; i++ {
		<-tick.C
		_ = table.Commit(t.Context(), ruleset.Batch{quarrelOp(what, i)}) // some are refused
	}
}

// quarrelOp returns the i-th operation of a quarrel.
func quarrelOp(what string, i int) ruleset.Op {
	key := nattest.Addr(otherFrontend, inet.TCP)
	e := ruleset.Element{Set: ruleset.VerdictsOf(key), Key: key, Verdict: ruleset.VerdictDrop}
	verb := []ruleset.Verb{ruleset.AddElement, ruleset.DeleteElement}
	switch what {
	case "delete":
		e.Key, verb[0] = nattest.Addr("10.96.0.77:80", inet.TCP), ruleset.DeleteElement
	case "deletes":
		e.Key, verb[0] = nattest.Addr(fmt.Sprintf("10.96.%d.%d:80", i%1000/250, i%250), inet.TCP), ruleset.DeleteElement
	case "flushes":
		return ruleset.Op{Verb: ruleset.DeleteTable}
	case "many":
		e.Key.Port, verb[1] = uint16(1+i%60000), ruleset.AddElement
	}
	return ruleset.Op{Verb: verb[i%2], Element: e}
}

const otherFrontend = "10.96.255.200:80"

// TestFightElements fights with a program that changes elements, or flushes everything,
// 1,000 times a second. The table is read a bounded number of times a second, most often
// while it is not there. One line names the program, a change of another Service is served
// meanwhile, and soon after the fight the table is as wanted.
func TestFightElements(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const other = "10.96.255.200 . tcp . 80"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	thread := filepath.Base(self)
	thread = thread[:min(len(thread), 15)] // as the kernel names it
	for _, name := range []string{"adds", "delete", "many", "flushes"} {
		t.Run(name, func(t *testing.T) {
			most := 3 // loads a second
			if name == "flushes" {
				most = 30
			}
			w := newTestWorld(t)
			log := w.run(t)
			service := func(n int) {
				t.Helper()
				if err := w.apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {namespace: default, name: new-%d}
spec: {clusterIP: 10.96.0.%d, ports: [{port: 80, protocol: TCP}]}
`, n, n)); err != nil {
					t.Fatal(err)
				}
			}
			has := func(n int) bool {
				key := fmt.Sprintf("{ 10.96.0.%d . tcp . 80 }", n)
				return nstest.Command(t, w.ns, "nft", "get", "element", "inet", "fairlead", "vips4", key).Run() == nil
			}
			service(77)
			proxiertest.Eventually(t, "the Service is served", func() bool { return has(77) })
			end := w.quarrel(t, name)
			proxiertest.Eventually(t, "a line about the fight", func() bool {
				return strings.Contains(log.String(), `"Warning: another program keeps changing the table, repairing it at most once per second: stop that program" by="`+thread+` (pid `)
			})
			count := func() (whole, parts int64) {
				if whole = w.table.loads.Load(); name == "flushes" {
					return whole, whole
				}
				return whole, whole + w.table.rules.Load() + w.table.named.Load()
			}
			whole, parts := count()
			start := time.Now()
			service(78)
			if name != "flushes" { // no element lasts for longer than a millisecond then
				proxiertest.Eventually(t, "a new Service is served", func() bool { return has(78) })
			}
			time.Sleep(3 * time.Second)
			took := time.Since(start)
			wholeNow, partsNow := count()
			whole, parts = wholeNow-whole, partsNow-parts
			if float64(parts) > float64(most)*took.Seconds()+4 || name != "flushes" && whole > 2 {
				t.Errorf("%d readings in %s, %d of them of everything", parts, took, whole)
			}
			if n := strings.Count(log.String(), "keeps changing the table"); n != 1 {
				t.Errorf("%d lines about the fight, want 1:\n%s", n, log)
			}
			end()
			peace := time.Now()
			proxiertest.Eventually(t, "the table is as wanted", func() bool {
				_, err := nstest.Command(t, w.ns, "nft", "get", "element", "inet", "fairlead", "vips4", "{ "+other+" }").Output()
				return has(77) && has(78) && err != nil
			})
			t.Logf("%d readings in %s of fight, %d of everything; as wanted %s after it", parts, took, whole, time.Since(peace))
		})
	}
}
