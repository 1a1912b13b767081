// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"fairlead/deploy/tools/internal/deps"
)

// Where the image has its files.
const (
	agentPath  = "fairlead"
	pluginsDir = "opt/cni/bin"
)

// Plugins are the packages of the CNI plugins, whose version go.mod of this module pins.
func Plugins() []string {
	const module = "github.com/containernetworking/plugins/plugins/"
	return []string{module + "main/bridge", module + "main/loopback", module + "main/ptp", module + "ipam/host-local"}
}

// File is one of the image, by its path there and here.
type File struct{ Name, Source string }

// Build compiles everything for a platform into dir. The result is the same on every
// machine: paths, the state of the repository and cgo are left out.
func Build(ctx context.Context, o Options, platform, dir string) ([]File, error) {
	goos, arch, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, fmt.Errorf("platform %q is not os/arch", platform)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFLAGS=")
	gobuild := func(in, ldflags string, packages ...string) error {
		args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= " + ldflags, "-o", dir + string(filepath.Separator)}, packages...)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = in, env, os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go build %s: %w", strings.Join(packages, " "), err)
		}
		return nil
	}
	if err := gobuild(o.Root, "-X k8s.io/component-base/version.gitVersion="+o.Version, "./cmd/fairlead"); err != nil {
		return nil, err
	}
	if err := gobuild(filepath.Join(o.Root, "deploy", "tools"), "", Plugins()...); err != nil {
		return nil, err
	}
	files := []File{{agentPath, filepath.Join(dir, "fairlead")}}
	for _, name := range []string{"LICENSE", "NOTICE"} {
		files = append(files, File{name, filepath.Join(o.Root, name)})
	}
	for _, p := range Plugins() {
		files = append(files, File{path.Join(pluginsDir, path.Base(p)), filepath.Join(dir, path.Base(p))})
	}
	return files, nil
}

// Programs returns what the image is built from, for lists of what it contains.
func Programs(root string) []deps.Program {
	return []deps.Program{
		{Dir: root, Packages: []string{"./cmd/fairlead"}},
		{Dir: filepath.Join(root, "deploy", "tools"), Packages: Plugins()},
	}
}
