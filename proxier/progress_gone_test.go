// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"testing"

	"fairlead/nat"
	"fairlead/nat/ruleset"
	"fairlead/proxier/store"
)

// TestPassesAfterTableIsGone: Services are deleted, and before the kernel has that another program
// deletes the table, so that nothing of them is left to do. The agent becomes ready, and keeps up,
// although one tenant keeps changing something between any two batches.
func TestPassesAfterTableIsGone(t *testing.T) {
	p, table, st := attackedLoop(t, Deps{})
	deleted := func() (waiting int) {
		for n := range 100 {
			svc, _ := benchObjects(n, 10)
			for key := range p.desired.progress.frontends.of {
				if key.IP == svc.ClusterIPs[0] {
					waiting++
				}
			}
		}
		return waiting
	}
	const gone, batches = 20, 200
	evil, batch, passes, left := 0, 0, 0, 0
	last := p.LastSync()
	table.between = func(ruleset.Batch) {
		if batch++; batch > batches {
			return
		}
		for range 150 { // more than a batch
			putOneOfMany(st, evil)
			evil++
		}
		if batch == gone {
			st.Update(func(tx *store.Tx) {
				for n := range 100 {
					svc, slice := benchObjects(n, 10)
					tx.DeleteService(svc.Key)
					tx.DeleteSlice(slice.Key)
				}
			})
		}
		if at := p.LastSync(); at != last {
			last = at
			if batch > gone+1 {
				passes++
			}
		}
		if batch == batches {
			left = deleted()
		}
	}
	waited := 0
	table.say(func(ruleset.Batch) error {
		if batch != gone || waited > 0 {
			return nil
		}
		waited = deleted()
		p.ready.Store(false) // as at the start
		return nat.ErrDrift
	})
	loads := table.loads.Load()
	putOneOfMany(st, 10_000-1)
	if err := p.sync(quietly(t)); err != nil {
		t.Fatal(err)
	}
	if waited == 0 || table.loads.Load() == loads {
		t.Fatalf("%d frontends of deleted Services waited, and %d loads followed: the test disturbs too late", waited, table.loads.Load()-loads)
	}
	if left > 0 || passes < 3 {
		t.Errorf("%d of %d frontends of deleted Services wait for ever, and in %d batches all changes before some time were there %d times", left, waited, batches-gone, passes)
	}
}
