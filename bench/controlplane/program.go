// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"fairlead/internal/lab"
)

// program is one process of the control plane, which may be started many times.
type program struct {
	name   string
	binary string
	args   []string
	host   *lab.Host
	log    string

	process *lab.Process // nil while it does not run
}

func (p *Plane) program(name string, args []string) *program {
	return &program{name: name, binary: p.cfg.Binary, args: args, host: p.cfg.Host, log: p.path(name + ".log")}
}

// start runs the program; later flags win over earlier ones.
func (g *program) start(more ...string) error {
	if g.process != nil {
		return fmt.Errorf("start %s: it runs already", g.name)
	}
	out, err := os.OpenFile(g.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", g.name, err)
	}
	defer func() { _ = out.Close() }() // the program has a copy
	cmd := exec.Command(g.binary, slices.Concat([]string{g.name}, g.args, more)...)
	cmd.Dir = filepath.Dir(g.log)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the test
	g.process, err = g.host.Start(cmd)
	return err
}

// stop ends the program, by force if need be.
func (g *program) stop() error {
	if g.process == nil {
		return fmt.Errorf("stop %s: it does not run", g.name)
	}
	err := g.process.Close()
	g.process = nil
	return err
}

// kill ends the program as a crash does.
func (g *program) kill() error {
	if g.process == nil {
		return fmt.Errorf("kill %s: it does not run", g.name)
	}
	return errors.Join(g.process.Signal(syscall.SIGKILL), g.stop())
}

// await polls until ready, for as long as the program lives.
func (g *program) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, ReadyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-g.process.Done():
			return fmt.Errorf("%s ended (%w); its log says:\n%s", g.name, g.process.Err(), Tail(g.log))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log says:\n%s", g.name, errors.Join(ctx.Err(), err), Tail(g.log))
		}
	}
}

// StartAPIServer starts the API server, with more flags than usual if given, and
// returns when it is ready.
func (p *Plane) StartAPIServer(ctx context.Context, more ...string) error {
	if err := p.apiserver.start(more...); err != nil {
		return err
	}
	return p.apiserver.await(ctx, func(ctx context.Context) error {
		return p.client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// KillAPIServer ends the API server as a crash does: it neither says goodbye to
// watchers nor takes its address out of the Service "kubernetes". etcd keeps
// what it knows.
func (p *Plane) KillAPIServer() error {
	return p.apiserver.kill()
}

// StartControllers starts kube-controller-manager and returns when it is
// healthy.
func (p *Plane) StartControllers(ctx context.Context) error {
	if err := p.controller.start(); err != nil {
		return err
	}
	healthz := p.Admin()
	healthz.Host = "https://127.0.0.1:" + controllerPort
	return p.controller.await(ctx, func(ctx context.Context) error {
		return get(ctx, healthz, "/healthz")
	})
}

// StopControllers ends kube-controller-manager.
func (p *Plane) StopControllers() error { return p.controller.stop() }

// APIServerPid is the process of the API server, for measurements.
func (p *Plane) APIServerPid() int { return p.apiserver.process.Pid() }

// Logs are the paths of what the programs that were started have printed.
func (p *Plane) Logs() (paths []string) {
	for _, g := range []*program{p.etcd, p.apiserver, p.controller} {
		if _, err := os.Stat(g.log); err == nil {
			paths = append(paths, g.log)
		}
	}
	return paths
}
