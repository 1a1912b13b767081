// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package arch_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "fairlead"

func dirs(imports []string) []string {
	out := make([]string, len(imports))
	for i, p := range imports {
		out[i] = strings.TrimPrefix(p, module+"/")
	}
	return out
}

// TestImports reads every file of the module, whatever it is built for.
func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && skipped(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		files++
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return checkFile(t, name, filepath.ToSlash(rel))
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("only %d files were read from %s", files, root)
	}
}

func skipped(dir string) bool {
	return strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_") || dir == "testdata" || dir == "vendor"
}

func checkFile(t *testing.T, name, rel string) error {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, nil, parser.ImportsOnly)
	if err != nil {
		return fmt.Errorf("parse imports: %w", err)
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", fset.Position(spec.Pos()), err)
		}
		for _, why := range violations(rel, imported) {
			t.Errorf("%s:%d imports %s: %s", rel, fset.Position(spec.Pos()).Line, imported, why)
		}
	}
	return nil
}

// violations returns why the file at rel may not import a package.
func violations(rel, imported string) []string {
	var why []string
	dir := path.Dir(rel)
	for _, r := range rules() {
		if strings.HasSuffix(rel, "_test.go") && !r.tests {
			continue
		}
		if matchAny(r.from, dir) && !matchAny(r.except, dir) && matchAny(r.deny, imported) && !matchAny(r.allow, imported) {
			why = append(why, r.why)
		}
	}
	return why
}

func matchAny(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == "..." {
			return true
		}
		tree, ok := strings.CutSuffix(p, "/...")
		return s == tree || ok && strings.HasPrefix(s, tree+"/")
	})
}

// TestViolations makes sure that the rules bite.
func TestViolations(t *testing.T) {
	tests := []struct {
		file, imported string
		forbidden      bool
	}{
		{"nat/plan/state.go", "k8s.io/api/core/v1", true},
		{"nat/plan/state_test.go", "k8s.io/api/core/v1", true},
		{"nat/kernel/load.go", "fairlead/nat/plan", true},
		{"nat/kernel/drift_test.go", "fairlead/nat/plan", false},
		{"nat/kernel/load.go", "github.com/mdlayher/netlink", true},
		{"nat/apply/apply.go", "fairlead/nat/kernel", true},
		{"nat/apply/apply.go", "fairlead/nat/plan", false},
		{"internal/nft/encode.go", "os", true},
		{"nat/plan/next.go", "golang.org/x/sys/unix", true},
		{"nat/ruleset/expr.go", "golang.org/x/sys/unix", false},
		{"nat/ruleset/expr.go", "fairlead/nat/kernel", true},
		{"nat/frontend.go", "fairlead/nat/plan", true},
		{"internal/lab/host.go", "k8s.io/klog/v2", true},
		{"proxier/store.go", "k8s.io/api/core/v1", false},
		{"cmd/fairlead/agent/client.go", "k8s.io/client-go/rest", false},
		{"cmd/fairlead/run.go", "k8s.io/client-go/rest", true},
		{"cmd/fairlead/run.go", "fairlead/nat/kernel", true},
		{"cmd/fairlead/state/state.go", "os", true},
		{"cmd/fairlead/ask/client.go", "fairlead/cmd/fairlead/agent", true},
		{"cmd/fairlead/ask/client.go", "fairlead/cmd/fairlead/state", false},
		{"cmd/fairlead/agent/agent.go", "fairlead/nat/kernel", false},
		{"cmd/fairlead/node/network.go", "fairlead/overlay/keeper", true},
		{"cmd/fairlead/node/network.go", "fairlead/cmd/fairlead/options", true},
		{"cmd/fairlead/options/network.go", "fairlead/cmd/fairlead/node", false},
		{"cmd/fairlead/options/network.go", "fairlead/cmd/fairlead/agent", true},
		{"nat/kernel/table.go", "fairlead/overlay", true},
		{"overlay/plan.go", "fairlead/conntrack", true},
		{"conntrack/sub/x.go", "fairlead/nat", true},
		{"nat/kernel/table.go", "fairlead/internal/inet", false},
		{"nat/kernel/table.go", "fairlead/proxier", true},
		{"internal/inet/addr.go", "fairlead/nat", true},
		{"overlay/plan.go", "golang.org/x/sys/unix", true},
		{"overlay/plan.go", "fairlead/overlay/kernel", true},
		{"overlay/kernel/load.go", "fairlead/overlay/keeper", true},
		{"overlay/keeper/pass.go", "golang.org/x/sys/unix", true},
		{"overlay/keeper/pass.go", "fairlead/overlay/kernel", false},
		{"proxier/loop.go", "fairlead/overlay", false},
		{"proxier/loop.go", "fairlead/overlay/keeper", true},
		{"internal/nl/socket.go", "fairlead/internal/inet", true},
		{"internal/nl/socket.go", "fairlead/internal/netns", false},
		{"internal/nl/socket.go", "github.com/google/nftables", true},
		{"internal/nl/socket_linux_test.go", "fairlead/internal/nstest", false},
		{"proxier/loop.go", "fairlead/nat", false},
		{"proxier/loop.go", "os/exec", true},
		{"proxier/loop_test.go", "os/exec", false},
		{"internal/lab/process.go", "os/exec", false},
		{"nat/packet_linux_test.go", "fairlead/internal/lab/labtest", false},
		{"nat/packet_linux.go", "fairlead/internal/lab/labtest", true},
		{"proxier/loop.go", "log/slog", true},
		{"bench/main.go", "k8s.io/api/core/v1", false},
		{"cmd/fairlead-lab/main.go", "fairlead/cmd/fairlead/agent", true},
		{"cmd/fairlead-lab/world/world.go", "fairlead/cmd/fairlead-lab/demo", true},
		{"cmd/fairlead-lab/demo/demo.go", "fairlead/cmd/fairlead-lab/world", false},
		{"cmd/fairlead/cni_linux_test.go", "fairlead/cmd/fairlead-lab/world", false},
		{"cmd/fairlead/run.go", "fairlead/cmd/fairlead-lab/world", true},
	}
	for _, tt := range tests {
		if got := violations(tt.file, tt.imported); (len(got) > 0) != tt.forbidden {
			t.Errorf("%s imports %s: got %q, want forbidden=%v", tt.file, tt.imported, got, tt.forbidden)
		}
	}
}
