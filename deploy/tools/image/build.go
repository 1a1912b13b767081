// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Where the image has its files.
const (
	agentPath  = "fairlead"
	pluginsDir = "opt/cni/bin"
)

// plugins are built from the module that go.mod of this directory's module fixes.
func plugins() []string {
	const module = "github.com/containernetworking/plugins/plugins/"
	return []string{module + "main/bridge", module + "main/loopback", module + "main/ptp", module + "ipam/host-local"}
}

// A file of the image, by its path there and here.
type file struct{ name, source string }

// build compiles everything for a platform into dir; Go's cache makes a second
// time cheap. What depends on the machine is left out: paths, the state of the
// repository, and cgo.
func build(ctx context.Context, o options, platform, dir string) ([]file, error) {
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
	if err := gobuild(o.root, "-X k8s.io/component-base/version.gitVersion="+o.version, "./cmd/fairlead"); err != nil {
		return nil, err
	}
	if err := gobuild(filepath.Join(o.root, "deploy", "tools"), "", plugins()...); err != nil {
		return nil, err
	}
	files := []file{{agentPath, filepath.Join(dir, "fairlead")}}
	for _, p := range plugins() {
		files = append(files, file{path.Join(pluginsDir, path.Base(p)), filepath.Join(dir, path.Base(p))})
	}
	return files, nil
}
