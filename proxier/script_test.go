// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
)

var update = flag.Bool("update", false, "rewrite the expected sections of testdata/scripts")

// TestScripts runs sequences of events: objects in, operations and the table
// out, on the kernel. After each sync these files say what happened:
//
//	ops.txt       the operations, in nft's language
//	nat.txt       what is wanted: the elements of Services
//	problems.txt  what is wrong with objects
func TestScripts(t *testing.T) {
	nstest.Need(t)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/scripts",
		UpdateScripts:      *update,
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			w, err := newWorld()
			if err != nil {
				return err
			}
			env.Values["world"] = w
			env.Defer(w.close)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"apply":   each((*world).apply),
			"delete":  each((*world).remove),
			"sync":    cmdSync,
			"restart": func(ts *testscript.TestScript, _ bool, _ []string) { worldOf(ts).restart() },
			"fault":   cmdFault,
			"refuse":  cmdRefuse,
			"nft":     cmdNft,
		},
	})
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

// each applies f to every file that is named.
func each(f func(*world, string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		for _, name := range args {
			if err := f(worldOf(ts), ts.ReadFile(name)); (err != nil) != neg {
				ts.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// cmdSync makes one pass: "sync", or "! sync" for one that must fail.
func cmdSync(ts *testscript.TestScript, neg bool, _ []string) {
	w := worldOf(ts)
	ops, err := w.sync()
	if (err != nil) != neg {
		ts.Fatalf("sync: %v", err)
	}
	var problems strings.Builder
	for _, p := range w.p.book.Problems() {
		fmt.Fprintln(&problems, p)
	}
	for name, text := range map[string]string{"ops.txt": elementOps(ops), "nat.txt": w.summary(), "problems.txt": problems.String()} {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// elementOps leaves out the program, which the first sync writes.
func elementOps(ops string) string {
	var out strings.Builder
	for _, line := range strings.SplitAfter(ops, "\n") {
		if strings.Contains(line, "element ") && !strings.Contains(line, "pods") &&
			!strings.Contains(line, "nodeport-addrs") && !strings.Contains(line, "service-cidrs") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// cmdFault makes that many of the next commits fail.
func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	worldOf(ts).table.fault = n
}

// cmdRefuse makes the kernel refuse every batch that mentions a text; none ends
// that.
func cmdRefuse(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	w.table.poker = nil
	if len(args) > 0 {
		w.table.poker = func(b ruleset.Batch) error {
			if strings.Contains(b.String(), args[0]) {
				return errors.New("invalid argument")
			}
			return nil
		}
	}
}

// cmdNft is somebody else who runs nft on our namespace; what we had is not
// trusted any more then. Output goes to kernel.txt.
func cmdNft(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	full := append([]string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), w.ns.Fd()), "--", "nft"}, args...)
	out, err := exec.Command("nsenter", full...).CombinedOutput()
	if (err != nil) != neg {
		ts.Fatalf("nft %v: %v\n%s", args, err, out)
	}
	ts.Check(os.WriteFile(ts.MkAbs("kernel.txt"), out, 0o600))
	w.p.apply.Distrust()
}
